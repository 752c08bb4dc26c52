#include "daemon/server.hpp"

#include "lib/error.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

UniqueFd unix_socket() {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    return fd;
}

/// 0 when somebody answers, else errno. A full queue (EAGAIN) is a sign of life.
int knock(const sockaddr_un& address) {
    const UniqueFd fd = unix_socket();
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
    const int result = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    return result == 0 || errno == EAGAIN ? 0 : errno;
}

void remove_stale(const std::filesystem::path& path, const sockaddr_un& address) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 && errno == ENOENT) {
        return;
    }
    if (!S_ISSOCK(status.st_mode) || status.st_uid != ::geteuid()) {
        throw Error(ErrorCode::exists, path.string() + ": is in the way, and is not a socket of ours",
                    "see what it is, and remove it");
    }
    const int answer = knock(address);
    if (answer == 0) {
        throw Error(ErrorCode::in_use, path.string() + ": another capsuld answers there",
                    "systemctl --user status capsuld");
    }
    if (answer != ECONNREFUSED || ::unlink(path.c_str()) != 0) {
        throw_errno(answer != ECONNREFUSED ? answer : errno, path.string());
    }
}

} // namespace

UniqueFd listen_unix(const std::filesystem::path& path) {
    const sockaddr_un address = unix_address(path);
    make_folders(path.parent_path());
    // Of two daemons that start at once, the second must find the first one listening, not half-way there.
    const UniqueFd folder = open_file(path.parent_path(), O_RDONLY | O_DIRECTORY);
    if (::flock(folder.get(), LOCK_EX) != 0) {
        throw_errno(errno, path.parent_path().string());
    }
    remove_stale(path, address);
    UniqueFd fd = unix_socket();
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
        throw_errno(errno, path.string());
    }
    return fd;
}

} // namespace capsul
