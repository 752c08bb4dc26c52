#include "daemon/dhcp/relay.hpp"

#include "daemon/dhcp/fail.hpp"

#include <array>
#include <cerrno>
#include <fstream>
#include <poll.h>
#include <string>
#include <sys/signalfd.h>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

constexpr int look_again = 20; // ms

void bring_request(Tap& trunk, const Tap& own, const Server& server) {
    const Frame frame = trunk.read();
    if (!is_request(frame, server)) {
        return;
    }
    if (const auto question = introduction(frame, server); !question.empty()) {
        own.write(question);
    }
    own.write(frame);
}

void bring_answer(Tap& own, const Tap& trunk, const Server& server) {
    const Frame frame = own.read();
    if (is_answer(frame, server)) {
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
bool is_bound(const char* file, const char* port) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        if (line.find(std::string(":") + port + " ") != std::string::npos) {
            return true;
        }
    }
    return false;
}

/// On the port of each family that it serves. Of this network namespace, where nobody else listens.
bool listens(const Server& server) {
    return (!server.ip4 || is_bound("/proc/self/net/udp", "0043")) &&
           (!server.link_local || is_bound("/proc/self/net/udp6", "0223"));
}

} // namespace

int relay(Tap& trunk, Tap& own, const Server& server, const ServerProcess& process, const sigset_t& signals,
          const std::function<void()>& ready) {
    const int signal_fd = ::signalfd(-1, &signals, SFD_CLOEXEC);
    if (signal_fd < 0) {
        fail(errno, "signals");
    }
    std::array<pollfd, 4> events{
        {{process.fd(), POLLIN, 0}, {signal_fd, POLLIN, 0}, {trunk.fd(), POLLIN, 0}, {own.fd(), POLLIN, 0}}};
    bool is_ready = false;
    while ((events[0].revents & POLLIN) == 0) {
        if (::poll(events.data(), events.size(), is_ready ? -1 : look_again) < 0 && errno != EINTR) {
            fail(errno, "poll");
        }
        if (events[1].revents != 0) {
            pass_on_signal(signal_fd, process);
        }
        if (events[2].revents != 0) {
            bring_request(trunk, own, server);
        }
        if (events[3].revents != 0) {
            bring_answer(own, trunk, server);
        }
        if (!is_ready && listens(server)) {
            is_ready = true;
            ready();
        }
    }
    return process.exit_status();
}

} // namespace capsul::dhcp
