#include "daemon/nethelper/sandbox.hpp"

#include "daemon/nethelper/die.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace capsul::nethelper {
namespace {

constexpr std::uint32_t net_admin = 1U << CAP_NET_ADMIN;

using Capabilities = std::array<__user_cap_data_struct, 2>;

bool is_permitted() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Capabilities data{};
    return ::syscall(SYS_capget, &header, data.data()) == 0 && (data[0].permitted & net_admin) != 0;
}

/// Also makes effective what the file's capability only permits.
bool set_capabilities(std::uint32_t kept) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Capabilities data{};
    data[0].effective = data[0].permitted = kept;
    return ::syscall(SYS_capset, &header, data.data()) == 0;
}

/// With 0 to 2 closed, the next file to be opened would get what is written to standard error.
void open_standard_descriptors() {
    for (int fd = 0; fd <= 2; ++fd) {
        if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != fd) {
            ::_exit(static_cast<int>(Exit::kernel));
        }
    }
    ::close_range(3, UINT_MAX, 0);
}

#ifdef __x86_64__
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
#error "capsul-net knows the system calls of x86-64 and arm64"
#endif

// The parts of the filter: each jumps over what is not about its call, and decides otherwise.
constexpr sock_filter load(std::uint32_t offset) {
    return {BPF_LD | BPF_W | BPF_ABS, 0, 0, offset};
}
constexpr sock_filter decide(std::uint32_t action) {
    return {BPF_RET | BPF_K, 0, 0, action};
}
constexpr sock_filter unless_equal_skip(std::uint8_t count, std::uint32_t value) {
    return {BPF_JMP | BPF_JEQ | BPF_K, 0, count, value};
}
constexpr sock_filter if_any_bit_skip(std::uint8_t count, std::uint32_t bits) {
    return {BPF_JMP | BPF_JSET | BPF_K, count, 0, bits};
}
constexpr std::uint32_t argument(unsigned i) {
    return static_cast<std::uint32_t>(offsetof(seccomp_data, args) + i * sizeof(std::uint64_t));
}

// The memory calls are malloc's; restart_syscall is a sleep that was stopped and goes on.
constexpr std::array<std::uint32_t, 16> plain_calls{
    SYS_read,       SYS_write,           SYS_close,           SYS_openat,    SYS_fstat,  SYS_newfstatat,
    SYS_setsockopt, SYS_sendto,          SYS_recvfrom,        SYS_brk,       SYS_munmap, SYS_mremap,
    SYS_getrandom,  SYS_clock_nanosleep, SYS_restart_syscall, SYS_exit_group};
constexpr std::array<std::uint32_t, 3> tun_calls{TUNSETIFF, TUNSETOWNER, TUNSETPERSIST};

constexpr std::size_t filter_size = 4 + 2 * plain_calls.size() + 5 + 5 + 3 + 2 * tun_calls.size() + 1;

constexpr std::array<sock_filter, filter_size> make_filter() {
    std::array<sock_filter, filter_size> filter{};
    std::size_t size = 0;
    const auto add = [&](sock_filter instruction) { filter[size++] = instruction; };
    const sock_filter allow = decide(SECCOMP_RET_ALLOW);
    const sock_filter kill = decide(SECCOMP_RET_KILL_PROCESS);
    add(load(offsetof(seccomp_data, arch)));
    add({BPF_JMP | BPF_JEQ | BPF_K, 1, 0, architecture});
    add(kill);
    add(load(offsetof(seccomp_data, nr)));
    for (const std::uint32_t call : plain_calls) {
        add(unless_equal_skip(1, call));
        add(allow);
    }
    add(unless_equal_skip(4, SYS_mmap));
    add(load(argument(2)));
    add(if_any_bit_skip(1, PROT_EXEC));
    add(allow);
    add(kill);
    add(unless_equal_skip(4, SYS_socket));
    add(load(argument(0)));
    add(unless_equal_skip(1, AF_NETLINK));
    add(allow);
    add(kill);
    add(unless_equal_skip(2 + 2 * tun_calls.size(), SYS_ioctl));
    add(load(argument(1)));
    for (const std::uint32_t call : tun_calls) {
        add(unless_equal_skip(1, call));
        add(allow);
    }
    add(kill);
    add(kill);
    return filter;
}

bool filter_system_calls() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true; // the sanitizers' own calls are not on the list
#else
    static constexpr std::array<sock_filter, filter_size> filter = make_filter();
    const sock_fprog program{filter.size(),
                             const_cast<sock_filter*>(filter.data())}; // NOLINT: it is only read
    return ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
#endif
}

} // namespace

bool enter_sandbox() {
    ::clearenv(); // NOLINT(concurrency-mt-unsafe): there is one thread
    ::umask(077);
    open_standard_descriptors();
    const bool privileged = is_permitted();
    const bool closed = ::prctl(PR_SET_DUMPABLE, 0) == 0 && set_capabilities(privileged ? net_admin : 0) &&
                        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && filter_system_calls();
    if (!closed) {
        die_errno(errno, "the sandbox cannot be set up");
    }
    return privileged;
}

} // namespace capsul::nethelper
