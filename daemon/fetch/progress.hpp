// progress.json of a download, for whoever wants to know how far it is.
#pragma once

#include "daemon/fetch_folder.hpp"

#include <chrono>
#include <filesystem>
#include <mutex>

namespace capsul::fetch {

/// May be told from several threads. What cannot be written is left out: nobody's download fails for it.
class Progress {
  public:
    explicit Progress(const std::filesystem::path& folder) : file_(folder / fetch_progress_file) {}
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress();

    void tell(FetchPhase phase, std::uint64_t bytes, std::optional<std::uint64_t> total, int attempt = 1);
    /// Nothing moves for a while, since the last try ended with `why`.
    void tell_wait(const std::string& why, std::uint64_t bytes, std::optional<std::uint64_t> total,
                   int attempt);

  private:
    void write(const FetchProgress& progress);

    std::filesystem::path file_;
    std::mutex mutex_;
    std::chrono::steady_clock::time_point written_;
    FetchPhase phase_ = FetchPhase::hashing; ///< that was written last
};

} // namespace capsul::fetch
