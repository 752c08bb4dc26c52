// File descriptors with an owner, and the few whole-file operations that must not lose data.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <sys/un.h>
#include <utility>

namespace capsul {

/// Owns one file descriptor and closes it.
class UniqueFd {
  public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Gives the descriptor away; the caller closes it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept;

  private:
    int fd_ = -1;
};

/// Opens with O_CLOEXEC added; throws Error naming the path.
[[nodiscard]] UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0600);

/// The whole content of a regular file; throws Error when it is not one or is longer than `limit` bytes
/// (too_large). Never blocks on a FIFO or device.
[[nodiscard]] std::string read_file(const std::filesystem::path& path, std::size_t limit = 1U << 20);

/// Writes all of `data` to `fd`, over short writes and EINTR. `what` names it in the Error.
void write_all(int fd, std::string_view data, const std::string& what);

/// Replaces `path` so that after a crash at any point it holds the old or the new content, whole: temporary
/// file beside it, fsync, rename, fsync of the folder.
void replace_file(const std::filesystem::path& path, std::string_view content, unsigned mode = 0600);

/// Removes from `folder`, not from those in it, what a `replace_file` that was killed has left of files whose
/// names are `ours`. For where nobody else may be writing. What cannot be read or removed stays.
void remove_half_written(const std::filesystem::path& folder,
                         const std::function<bool(std::string_view name)>& ours);
void remove_half_written(const std::filesystem::path& folder);

/// Makes names created, renamed or removed in `folder` survive a power cut.
void sync_folder(const std::filesystem::path& folder);

/// Creates `path` and its missing parents, each with `mode`; durably.
void make_folders(const std::filesystem::path& path, unsigned mode = 0700);

/// The address of a Unix socket; throws Error (invalid) for a path longer than sockaddr_un holds (unix(7)).
[[nodiscard]] sockaddr_un unix_address(const std::filesystem::path& path);

/// Connects a Unix stream socket, waiting as long as the listener's queue is full; throws Error
/// (unreachable, denied) naming the path. See unix_address.
[[nodiscard]] UniqueFd connect_unix(const std::filesystem::path& path);

} // namespace capsul
