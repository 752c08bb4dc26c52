// Which hosts answer, and the file that says so.
#pragma once

#include "lib/vpn_sync.hpp"

#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace capsul::peer {

class Reachability {
  public:
    explicit Reachability(std::filesystem::path file) : file_(std::move(file)) {}

    /// Forgets all others.
    void keep_only(const std::vector<NodeName>& nodes);
    /// An exchange has succeeded. True when that is news.
    bool succeeded(const NodeName& node, std::optional<double> rtt_ms);
    /// Or has not. True when that is news.
    bool failed(const NodeName& node, const std::string& problem);
    /// Throws Error.
    void write();

  private:
    SyncPeer& entry(const NodeName& node);

    const std::filesystem::path file_;
    std::mutex mutex_;
    SyncStatus status_;
};

} // namespace capsul::peer
