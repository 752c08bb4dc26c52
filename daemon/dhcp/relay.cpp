#include "daemon/dhcp/relay.hpp"

#include "daemon/dhcp/fail.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <poll.h>
#include <string>
#include <sys/signalfd.h>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

constexpr int look_interval = 20; // ms

void bring_in(Tap& trunk, const Tap& own, const Passage& passage) {
    const Frame frame = trunk.read();
    if (!passage.lets_in(frame)) {
        return;
    }
    if (const auto first = passage.introduction(frame); !first.empty()) {
        own.write(first);
    }
    own.write(frame);
}

void bring_out(Tap& own, const Tap& trunk, const Passage& passage) {
    const Frame frame = own.read();
    if (passage.lets_out(frame)) {
        trunk.write(frame);
    }
}

void pass_on_signal(int fd, const ServerProcess& process) {
    signalfd_siginfo signal{};
    if (::read(fd, &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
        process.signal(static_cast<int>(signal.ssi_signo));
    }
}

/// A socket bound to the port, of any address: "67: 00000000:0043 00000000:0000 07 ..." (proc_pid_net(5)).
bool is_bound(const char* file, std::uint16_t port) {
    std::array<char, 8> wanted{};
    std::snprintf(wanted.data(), wanted.size(), ":%04X ", port);
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        if (line.find(wanted.data()) != std::string::npos) {
            return true;
        }
    }
    return false;
}

/// In this network namespace, where nobody else does.
bool listens(Ports ports) {
    return (ports.ip4 == 0 || is_bound("/proc/self/net/udp", ports.ip4)) &&
           (ports.ip6 == 0 || is_bound("/proc/self/net/udp6", ports.ip6));
}

} // namespace

int relay(Tap& trunk, Tap& own, const Passage& passage, Ports ports, const ServerProcess& process,
          const sigset_t& signals, const std::function<void()>& ready) {
    const int signal_fd = ::signalfd(-1, &signals, SFD_CLOEXEC);
    if (signal_fd < 0) {
        fail(errno, "signals");
    }
    std::array<pollfd, 4> events{
        {{process.fd(), POLLIN, 0}, {signal_fd, POLLIN, 0}, {trunk.fd(), POLLIN, 0}, {own.fd(), POLLIN, 0}}};
    bool is_ready = false;
    while ((events[0].revents & POLLIN) == 0) {
        if (::poll(events.data(), events.size(), is_ready ? -1 : look_interval) < 0 && errno != EINTR) {
            fail(errno, "poll");
        }
        if (events[1].revents != 0) {
            pass_on_signal(signal_fd, process);
        }
        if (events[2].revents != 0) {
            bring_in(trunk, own, passage);
        }
        if (events[3].revents != 0) {
            bring_out(own, trunk, passage);
        }
        if (!is_ready && listens(ports)) {
            is_ready = true;
            ready();
        }
    }
    return process.exit_status();
}

} // namespace capsul::dhcp
