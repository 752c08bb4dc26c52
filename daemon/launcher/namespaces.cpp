#include "daemon/launcher/namespaces.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string>
#include <string_view>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace capsul::launcher {
namespace {

[[noreturn]] void fail(int error, const char* what) {
    throw std::system_error(error, std::generic_category(), what);
}

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
void enter_namespaces(int kinds) {
    const std::string user = same(::geteuid());
    const std::string group = same(::getegid());
    if (::unshare(CLONE_NEWUSER | kinds) != 0) {
        fail(errno, "namespaces of its own");
    }
    write_to("/proc/self/setgroups", "deny"); // or no group can be mapped
    write_to("/proc/self/uid_map", user);
    write_to("/proc/self/gid_map", group);
}

void set_capabilities(std::uint32_t mask) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    data[0] = {mask, mask, mask};
    if (::syscall(SYS_capset, &header, data.data()) != 0) {
        fail(errno, "capabilities");
    }
}

} // namespace capsul::launcher
