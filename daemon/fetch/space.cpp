#include "daemon/fetch/space.hpp"

#include "lib/error.hpp"
#include "lib/size.hpp"

#include <cerrno>
#include <fmt/format.h>
#include <sys/statvfs.h>

namespace capsul::fetch {
namespace {

constexpr std::uint64_t look_every = std::uint64_t{16} << 20U;

} // namespace

void Space::check(std::uint64_t bytes) const {
    struct statvfs status {};
    if (::statvfs(folder_.c_str(), &status) != 0) {
        throw_errno(errno, folder_.string());
    }
    const std::uint64_t free = status.f_bavail * status.f_frsize;
    if (free < keep_free_ || free - keep_free_ < bytes) {
        throw Error(ErrorCode::no_space,
                    fmt::format("{}: {} are needed, {} are free, of which {} are kept for others",
                                folder_.string(), human_size(bytes), human_size(free),
                                human_size(keep_free_)),
                    "make room: `capsulctl image list` and `du` show what takes it");
    }
}

void Space::used(std::uint64_t bytes) {
    unseen_ += bytes;
    if (unseen_ >= look_every) {
        unseen_ = 0;
        check(look_every);
    }
}

} // namespace capsul::fetch
