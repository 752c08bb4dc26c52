#include "lib/space.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/statvfs.h>

namespace capsul {

std::uint64_t free_space(int fd, const std::string& what) {
    struct statvfs status {};
    if (::fstatvfs(fd, &status) != 0) {
        throw_errno(errno, what);
    }
    return std::uint64_t{status.f_bavail} * status.f_frsize;
}

void SpaceWatch::before(std::uint64_t bytes) {
    constexpr std::uint64_t look_every = std::uint64_t{4} << 20U;
    if (keep_free_ == 0) {
        return;
    }
    if (bytes > allowed_) {
        const std::uint64_t wanted = std::max(bytes, look_every);
        const std::uint64_t available = free_space(fd_, what_);
        if (available < keep_free_ || available - keep_free_ < bytes) {
            throw_errno(ENOSPC, what_);
        }
        allowed_ = std::min(wanted, available - keep_free_);
    }
    allowed_ -= bytes;
}

} // namespace capsul
