#include "daemon/fetch/fetch_lock.hpp"

#include "lib/error.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>

namespace capsul::fetch {

FetchLock::FetchLock(const std::filesystem::path& folder)
    : folder_(open_file(folder, O_RDONLY | O_DIRECTORY)) {
    if (::flock(folder_.get(), LOCK_EX | LOCK_NB) == 0) {
        return;
    }
    if (errno != EWOULDBLOCK) {
        throw_errno(errno, folder.string());
    }
    throw Error(ErrorCode::busy, folder.string() + ": another process downloads into it");
}

} // namespace capsul::fetch
