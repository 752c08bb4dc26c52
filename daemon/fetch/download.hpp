// Downloads a file, in as many goes as it takes.
#pragma once

#include "daemon/fetch/part_file.hpp"
#include "daemon/fetch/progress.hpp"
#include "daemon/fetch/space.hpp"
#include "daemon/fetch/transfer.hpp"

#include <cstdint>

namespace capsul::fetch {

[[nodiscard]] TransferLimits transfer_limits(const std::optional<std::string>& proxy,
                                             const FetchPatience& patience);

/// The file that `request` asks for, into `part`.
class Download {
  public:
    Download(const DiskRequest& request, PartFile& part, Progress& progress)
        : request_(request), part_(part), progress_(progress),
          space_(part.path().parent_path(), request.keep_free) {}

    /// Returns when all is there, of the size that was asked for. Throws Error.
    void run();
    /// Bytes that servers have sent until now.
    [[nodiscard]] std::uint64_t fetched() const noexcept { return fetched_; }
    /// Whether what the last server sent was taken for the file.
    [[nodiscard]] bool accepted() const noexcept { return accepted_; }

  private:
    void try_once();
    void begin(const Head& head);
    void begin_whole(const Head& head);
    void go_on(const Head& head);
    void end_beyond(const Head& head);
    void check_length(std::uint64_t length) const;
    void take(std::string_view data);

    const DiskRequest& request_;
    PartFile& part_;
    Progress& progress_;
    Space space_;
    std::uint64_t fetched_ = 0;
    int attempt_ = 1;
    bool accepted_ = false;
};

} // namespace capsul::fetch
