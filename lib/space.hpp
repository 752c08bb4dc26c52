// Room on a file system, of which some is left to others.
#pragma once

#include <cstdint>
#include <string>

namespace capsul {

/// Bytes that are left for records, logs and the disks of guests, which stand still when there are none.
inline constexpr std::uint64_t space_reserve = std::uint64_t{16} << 20U;

/// Bytes that may be free where `fd` is (statvfs(3)). Throws Error naming `what`.
[[nodiscard]] std::uint64_t free_space(int fd, const std::string& what);

/// Watches over what is written of which nobody knows how long it gets.
class SpaceWatch {
  public:
    /// Of the file system that `fd` is on, `keep_free` bytes are for others; 0: it may be filled up.
    SpaceWatch(int fd, std::string what, std::uint64_t keep_free)
        : fd_(fd), what_(std::move(what)), keep_free_(keep_free) {}

    /// Told of each piece before it is written; looks now and then. Throws Error (no_space).
    void before(std::uint64_t bytes);

  private:
    int fd_;
    std::string what_;
    std::uint64_t keep_free_;
    std::uint64_t allowed_ = 0; ///< bytes until the next look
};

} // namespace capsul
