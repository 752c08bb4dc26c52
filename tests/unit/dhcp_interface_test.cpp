#include "daemon/dhcp/interface.hpp"
#include "daemon/dhcp/tap.hpp"
#include "daemon/launcher/namespaces.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

constexpr const char* name = "guests";

/// Below 1280 an interface has no IPv6, as none has on a host where it is switched off.
bool take_ipv6_away(int any) {
    ifreq request{};
    std::string(name).copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_mtu = 1000;
    return ::ioctl(any, SIOCSIFMTU, &request) == 0;
}

bool has_address(int any, const char* address) {
    ifreq request{};
    std::string(name).copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(any, SIOCGIFADDR, &request) != 0) {
        return false;
    }
    sockaddr_in found{};
    std::memcpy(&found, &request.ifr_addr, sizeof found);
    return found.sin_addr.s_addr == ::inet_addr(address);
}

bool sets_up_without_ipv6() {
    launcher::enter_namespaces(CLONE_NEWNET | CLONE_NEWPID);
    const Tap tap(name);
    const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool prepared = take_ipv6_away(any);
    set_up_interface(name, {2, 0, 0, 0, 0, 1}, 0, {Prefix{AF_INET, {10, 80, 0, 1}, 24}});
    return prepared && has_address(any, "10.80.0.1");
}

} // namespace

TEST(DhcpInterface, NeedsNoIpv6ForIpv4) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "a process with a second thread, the sanitizer's, gets no user namespace";
#endif
    if (::access("/dev/net/tun", R_OK | W_OK) != 0) {
        GTEST_SKIP() << "no TAP can be made here: " << std::strerror(errno);
    }
    const pid_t child = ::fork();
    if (child == 0) {
        try {
            ::_exit(sets_up_without_ipv6() ? 0 : 1);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            ::_exit(2);
        }
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
}

} // namespace capsul::dhcp
