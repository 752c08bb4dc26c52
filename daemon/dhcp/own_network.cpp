#include "daemon/dhcp/own_network.hpp"

#include "daemon/dhcp/fail.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <string_view>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

void write_to(const char* file, std::string_view text) {
    const int fd = ::open(file, O_WRONLY | O_CLOEXEC);
    const bool written =
        fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int error = errno;
    ::close(fd);
    if (!written) {
        fail(error, file);
    }
}

std::string same(unsigned id) {
    return std::to_string(id) + " " + std::to_string(id) + " 1";
}

} // namespace

// Signals reach no process outside of a process namespace, and a user namespace's capabilities nothing that
// belongs to the host's (user_namespaces(7)).
void enter_own_network() {
    const std::string user = same(::geteuid());
    const std::string group = same(::getegid());
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID) != 0) {
        fail(errno, "a network namespace of its own");
    }
    write_to("/proc/self/setgroups", "deny"); // or no group can be mapped
    write_to("/proc/self/uid_map", user);
    write_to("/proc/self/gid_map", group);
}

} // namespace capsul::dhcp
