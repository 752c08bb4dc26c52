#include "daemon/dhcp/server.hpp"

#include "daemon/dhcp/fail.hpp"
#include "daemon/launcher/become.hpp"
#include "daemon/launcher/call_filter.hpp"
#include "daemon/launcher/file_rules.hpp"
#include "daemon/launcher/namespaces.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

/// What dnsmasq asks for: to write the MAC of a client without address into its ARP cache, ICMPv6, port 67.
constexpr std::array<unsigned, 3> needed{CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE};

std::uint32_t needed_mask() {
    std::uint32_t mask = 0;
    for (const unsigned capability : needed) {
        mask |= 1U << capability;
    }
    return mask;
}

/// None but those needed, which it keeps when it becomes another program (capabilities(7), "Ambient").
void keep_needed_capabilities() {
    const std::uint32_t mask = needed_mask();
    for (unsigned capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
        const bool keep = capability < 32 && (mask >> capability & 1U) != 0;
        if (!keep && ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) {
            fail(errno, "capabilities");
        }
    }
    launcher::set_capabilities(mask);
    for (const unsigned capability : needed) {
        if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) {
            fail(errno, "capabilities");
        }
    }
}

launcher::Options walls(const std::vector<std::string>& readable) {
    launcher::Options options;
    options.read_only = readable;
    options.internet = true;
    options.own_network = true;
    return options;
}

[[noreturn]] void run(const std::vector<std::string>& command, const std::vector<std::string>& readable,
                      const sigset_t& signals) {
    try {
        if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
            ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr) != 0) {
            fail(errno, "signals");
        }
        keep_needed_capabilities();
        launcher::confine_files(walls(readable));
        launcher::filter_calls(walls(readable));
        launcher::become(command);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsul-dhcp: %s\n", error.what());
    }
    ::_exit(1);
}

} // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& command,
                             const std::vector<std::string>& readable, const sigset_t& signals) {
    const pid_t child = ::fork();
    if (child == 0) {
        run(command, readable, signals);
    }
    fd_ = child < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
    if (fd_ < 0) {
        fail(errno, "the server");
    }
}

ServerProcess::~ServerProcess() {
    ::close(fd_);
}

void ServerProcess::signal(int number) const {
    ::syscall(SYS_pidfd_send_signal, fd_, number, nullptr, 0); // it may have ended
}

int ServerProcess::exit_status() const {
    siginfo_t how{};
    const bool known = ::waitid(P_PIDFD, static_cast<id_t>(fd_), &how, WEXITED) == 0;
    return known && how.si_code == CLD_EXITED ? how.si_status : 1;
}

} // namespace capsul::dhcp
