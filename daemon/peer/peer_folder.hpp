// The folder peer/ of a network; see lib/vpn_sync.hpp.
#pragma once

#include "lib/vpn.hpp"

#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

namespace capsul::peer {

class PeerFolder {
  public:
    explicit PeerFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

    /// Removes from the inbox what was being written when the host or a program ended. Throws Error.
    void sweep() const;

    /// What this host tells others, as it is now. Throws Error.
    [[nodiscard]] std::string own_text() const;
    [[nodiscard]] VpnBundle own() const;
    /// Puts `text` into the inbox, under `name`; also when it lies there already, so that capsuld looks at it
    /// again. Throws Error.
    void keep(const std::string& name, std::string_view text);
    [[nodiscard]] std::filesystem::path inbox_file(const std::string& name) const;

  private:
    std::filesystem::path folder_;
    std::mutex mutex_;
};

} // namespace capsul::peer
