#include "daemon/launcher/call_filter.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fcntl.h>
#include <initializer_list>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <memory>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>

namespace capsul::launcher {
namespace {

constexpr std::uint32_t refuse = SCMP_ACT_ERRNO(EPERM);

void check(int result, const char* what) {
    if (result < 0) {
        throw std::system_error(-result, std::generic_category(), what);
    }
}

/// Everything is allowed but what is refused here.
class CallFilter {
  public:
    CallFilter() : context_(::seccomp_init(SCMP_ACT_ALLOW), &::seccomp_release) {
        if (context_ == nullptr) {
            check(-ENOMEM, "seccomp");
        }
        check(::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "seccomp");
    }

    void refuse_call(int call) {
        check(::seccomp_rule_add_array(context_.get(), refuse, call, 0, nullptr), "seccomp");
    }

    void deny_existence(int call) {
        check(::seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(ENOSYS), call, 0, nullptr), "seccomp");
    }

    /// When the argument, an int, has none of these values.
    void refuse_unless(int call, unsigned argument, std::initializer_list<scmp_datum_t> values) {
        const scmp_datum_t last = std::max(values);
        for (scmp_datum_t value = 0; value < last; ++value) {
            if (std::ranges::find(values, value) == values.end()) {
                refuse_when(call, {argument, SCMP_CMP_EQ, value, 0});
            }
        }
        refuse_when(call, {argument, SCMP_CMP_GT, last, 0});
    }

    void refuse_when(int call, const scmp_arg_cmp& argument) {
        check(::seccomp_rule_add_array(context_.get(), refuse, call, 1, &argument), "seccomp");
    }

    /// The kernel reads 32 bits of such an argument: a filter on 64 would be passed by setting any of the
    /// others.
    void refuse_commands(int call, std::initializer_list<scmp_datum_t> commands) {
        for (const scmp_datum_t command : commands) {
            refuse_when(call, {1, SCMP_CMP_MASKED_EQ, 0xffffffffU, command});
        }
    }

    void load() { check(::seccomp_load(context_.get()), "seccomp"); }

  private:
    std::unique_ptr<void, decltype(&::seccomp_release)> context_;
};

/// The owner of a TAP may do these without privilege, and so take another VM's place on the bridge, or give
/// its own TAP to another user. No program needs any of them.
void refuse_tap_settings(CallFilter& filter) {
    filter.refuse_commands(SCMP_SYS(ioctl), {SIOCSIFHWADDR, TUNSETOWNER, TUNSETGROUP, TUNSETPERSIST,
                                             TUNSETLINK, TUNSETTXFILTER, TUNSETCARRIER});
}

void refuse_terminal_input(CallFilter& filter) {
    filter.refuse_commands(SCMP_SYS(ioctl), {TIOCSTI, TIOCLINUX});
}

/// Processes of one user may signal each other across user namespaces.
void refuse_signals_to_others(CallFilter& filter) {
    for (const int call : {SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(rt_sigqueueinfo),
                           SCMP_SYS(rt_tgsigqueueinfo), SCMP_SYS(pidfd_send_signal)}) {
        filter.refuse_call(call);
    }
    // This process keeps its number when it becomes QEMU.
    filter.refuse_when(SCMP_SYS(tgkill), {0, SCMP_CMP_NE, static_cast<scmp_datum_t>(::getpid()), 0});
    // Whom a descriptor signals when it is ready, and by which signal.
    filter.refuse_commands(SCMP_SYS(fcntl), {F_SETOWN, F_SETOWN_EX, F_SETSIG});
    filter.refuse_commands(SCMP_SYS(ioctl), {FIOSETOWN, SIOCSPGRP});
}

/// One process of a user may do so to any other, and end it by a limit on its time or files.
void refuse_limits_of_others(CallFilter& filter) {
    filter.refuse_when(SCMP_SYS(prlimit64), {0, SCMP_CMP_NE, 0, 0});
}

/// Whose unit leaves it the right to make namespaces has made them. The flags of clone3 cannot be seen here;
/// it is answered as by a kernel without it, and the C library takes the older call.
void refuse_namespaces(CallFilter& filter) {
    filter.refuse_call(SCMP_SYS(unshare));
    filter.refuse_call(SCMP_SYS(setns));
    filter.deny_existence(SCMP_SYS(clone3));
    for (const int flag : {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
                           CLONE_NEWPID, CLONE_NEWNET}) {
        filter.refuse_when(SCMP_SYS(clone), {0, SCMP_CMP_MASKED_EQ, static_cast<scmp_datum_t>(flag),
                                             static_cast<scmp_datum_t>(flag)});
    }
}

/// Sockets without a file, such as X11's, are not hidden by the mount namespace. The filter sees of an
/// address only its length: what is refused is all that is not as long as one of the internet. A Unix socket
/// whose name has just that length is still reached, and by sendmsg, whose address is behind a pointer, any
/// that takes datagrams.
void refuse_unix_addresses(CallFilter& filter) {
    filter.refuse_unless(SCMP_SYS(connect), 2, {sizeof(sockaddr_in), sizeof(sockaddr_in6)});
    filter.refuse_unless(SCMP_SYS(sendto), 5, {0, sizeof(sockaddr_in), sizeof(sockaddr_in6)});
}

void refuse_addresses(CallFilter& filter, const Options& options) {
    if (options.internet && !options.own_network) {
        refuse_unix_addresses(filter);
    }
    if (!options.internet && !options.children) {
        filter.refuse_call(SCMP_SYS(connect)); // QEMU itself only listens
    }
}

} // namespace

void filter_calls(const Options& options) {
    CallFilter filter;
    refuse_tap_settings(filter);
    if (!options.tun) {
        filter.refuse_commands(SCMP_SYS(ioctl),
                               {TUNSETIFF}); // to any TAP of its user; QEMU gets its own attached
    }
    refuse_terminal_input(filter);
    if (!options.children) { // in a process namespace there are no others
        refuse_signals_to_others(filter);
        refuse_limits_of_others(filter);
    }
    refuse_addresses(filter, options);
    if (options.own_network || options.children) {
        refuse_namespaces(filter);
    }
    filter.load();
}

} // namespace capsul::launcher
