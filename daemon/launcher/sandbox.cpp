#include "daemon/launcher/sandbox.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <linux/magic.h>
#include <sched.h>
#include <sstream>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace capsul::launcher {
namespace {

/// A directive and what this process sees when it is in force.
struct Wall {
    const char* directive;
    bool (*stands)(const Options& options);
};

bool is_there(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

bool is_read_only(const char* folder) {
    struct statvfs about {};
    return ::statvfs(folder, &about) == 0 && (about.f_flag & ST_RDONLY) != 0;
}

bool has_own_users(const Options& /*options*/) {
    std::ifstream file("/proc/self/uid_map");
    return maps_few_users(std::string(std::istreambuf_iterator<char>(file), {}));
}

bool gains_no_privileges(const Options& /*options*/) {
    return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

bool has_no_capabilities(const Options& /*options*/) {
    int held = 0;
    for (int capability = 0; held == 0; ++capability) {
        held = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    }
    return held < 0; // beyond the last one that the kernel knows
}

/// Whoever reaches one of these sockets has a process started outside of the sandbox.
bool sees_no_manager_in(const std::string& runtime_folder) {
    return !is_there(runtime_folder + "/bus") && !is_there(runtime_folder + "/systemd/private");
}

bool sees_no_manager() {
    const char* const given = std::getenv("XDG_RUNTIME_DIR"); // NOLINT(concurrency-mt-unsafe): one thread
    return sees_no_manager_in("/run/user/" + std::to_string(::getuid())) &&
           (given == nullptr || sees_no_manager_in(given));
}

bool is_in_memory(const char* folder) {
    struct statfs about {};
    return ::statfs(folder, &about) == 0 && about.f_type == TMPFS_MAGIC;
}

bool sees_no_home(const Options& /*options*/) {
    const char* const home = std::getenv("HOME"); // NOLINT(concurrency-mt-unsafe): one thread
    return sees_no_manager() && (home == nullptr || is_in_memory(home));
}

bool sees_no_system_sockets(const Options& /*options*/) {
    return !is_there("/run/dbus/system_bus_socket") && !is_there("/run/systemd/private") &&
           !is_there("/run/systemd/journal/socket");
}

bool has_read_only_system(const Options& /*options*/) {
    return is_read_only("/") && is_read_only("/usr") && is_read_only("/etc");
}

/// systemd makes a private one as the user.
bool has_own_tmp(const Options& /*options*/) {
    struct stat about {};
    return ::stat("/tmp", &about) == 0 && about.st_uid == ::getuid();
}

bool has_own_devices(const Options& /*options*/) {
    return is_read_only("/dev") && !is_there("/dev/mem");
}

bool is_refused_socket(int family, int type) {
    const int made = ::socket(family, type | SOCK_CLOEXEC, 0);
    if (made >= 0) {
        ::close(made);
    }
    return made < 0 && errno == EAFNOSUPPORT;
}

bool has_few_socket_families(const Options& options) {
    if (options.own_network) {
        return is_refused_socket(AF_PACKET, SOCK_RAW);
    }
    return is_refused_socket(AF_NETLINK, SOCK_RAW) &&
           (options.internet ||
            (is_refused_socket(AF_INET, SOCK_DGRAM) && is_refused_socket(AF_INET6, SOCK_DGRAM)));
}

/// Calls that do nothing with these arguments, and fail in another way when no filter stands before them.
bool has_filtered_calls(const Options& /*options*/) {
    const auto is_refused = [](long number) {
        return ::syscall(number, 0, 0, 0, 0, 0, 0) == -1 && (errno == EPERM || errno == ENOSYS);
    };
    return ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2 &&
           std::ranges::all_of(
               std::array<long, 4>{SYS_io_uring_setup, SYS_process_vm_readv, SYS_keyctl, SYS_perf_event_open},
               is_refused);
}

bool makes_no_namespaces(const Options& options) {
    return options.own_network || options.children || ::unshare(CLONE_NEWUSER) != 0;
}

/// In the order in which one follows from the other: without the first, systemd ignores most of the rest.
constexpr std::array walls{
    Wall{"PrivateUsers=yes", has_own_users},
    Wall{"NoNewPrivileges=yes", gains_no_privileges},
    Wall{"CapabilityBoundingSet=", has_no_capabilities},
    Wall{"ProtectHome=tmpfs", sees_no_home},
    Wall{"TemporaryFileSystem=", sees_no_system_sockets},
    Wall{"ProtectSystem=strict", has_read_only_system},
    Wall{"PrivateTmp=yes", has_own_tmp},
    Wall{"PrivateDevices=yes", has_own_devices},
    Wall{"RestrictAddressFamilies=", has_few_socket_families},
    Wall{"SystemCallFilter=", has_filtered_calls},
    Wall{"RestrictNamespaces=yes", makes_no_namespaces},
};

} // namespace

std::vector<std::string> missing_directives(const Options& options) {
    std::vector<std::string> missing;
    for (const Wall& wall : walls) {
        if (!wall.stands(options)) {
            missing.emplace_back(wall.directive);
        }
    }
    return missing;
}

bool maps_few_users(std::string_view uid_map) {
    std::istringstream lines{std::string(uid_map)};
    std::uint64_t inside = 0;
    std::uint64_t outside = 0;
    std::uint64_t count = 0;
    std::uint64_t users = 0;
    while (lines >> inside >> outside >> count) {
        users += count;
    }
    return users >= 1 && users <= 2;
}

} // namespace capsul::launcher
