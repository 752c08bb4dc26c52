// Tells when files have come into folders (inotify(7)).
#pragma once

#include "lib/fd.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

namespace capsul {

/// Thread-safe: one thread waits, any adds.
class FolderWatch {
  public:
    /// Throws Error.
    FolderWatch();
    /// From now on also this folder, which exists; again and again does no harm. Throws Error.
    void add(const std::filesystem::path& folder);
    /// Blocks until files have been moved into folders, and returns those; none after `stop`.
    [[nodiscard]] std::set<std::filesystem::path> wait();
    /// Waits that long; false when it was stopped.
    [[nodiscard]] bool rest(std::chrono::milliseconds time);
    /// Ends the waiting, for good.
    void stop();

  private:
    [[nodiscard]] std::set<std::filesystem::path> read_events();

    UniqueFd events_;
    UniqueFd stop_;
    std::mutex mutex_;
    std::map<int, std::filesystem::path> folders_;
};

} // namespace capsul
