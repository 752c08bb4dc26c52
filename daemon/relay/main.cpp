// capsul-relay GUEST PORT...: carries the traffic of a VM's published ports between this host and the guest
// at the address GUEST. Each PORT is [ADDRESS:]HOSTPORT:GUESTPORT[/udp], and systemd hands in the socket that
// is bound to it (sd_listen_fds(3)). Ends when nobody has used it for a minute: systemd keeps the sockets,
// and starts it again.
#include "daemon/relay/tcp_relay.hpp"
#include "daemon/relay/udp_relay.hpp"
#include "lib/cidr.hpp"
#include "lib/error.hpp"
#include "lib/port.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <iterator>
#include <memory>
#include <string>
#include <systemd/sd-daemon.h>
#include <vector>

namespace capsul::relay {
namespace {

constexpr auto idle_limit = std::chrono::minutes(1);
constexpr auto tick_interval = std::chrono::seconds(1);

bool is_udp(int fd) {
    int type = 0;
    socklen_t size = sizeof type;
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
        throw_errno(errno, fmt::format("descriptor {}", fd));
    }
    return type == SOCK_DGRAM;
}

/// The port that the socket is bound to.
const PublishedPort& port_of(int fd, const std::vector<PublishedPort>& ports) {
    const SocketAddress bound = SocketAddress::of_socket(fd);
    const auto found = std::ranges::find_if(ports, [&](const PublishedPort& port) {
        return port.is_udp() == is_udp(fd) && SocketAddress(port.address(), port.host_port()) == bound;
    });
    if (found == ports.end()) {
        throw Error(ErrorCode::invalid, fmt::format("descriptor {} is bound to none of the ports", fd));
    }
    return *found;
}

std::vector<std::unique_ptr<Relay>> make_relays(EventLoop& loop, const IpAddress& guest,
                                                const std::vector<PublishedPort>& ports) {
    std::vector<std::unique_ptr<Relay>> relays;
    const int count = sd_listen_fds(1);
    for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; ++fd) {
        UniqueFd socket(fd);
        const PublishedPort& port = port_of(fd, ports);
        const SocketAddress target(guest.to_string(), port.guest_port());
        ::fcntl(fd, F_SETFL, O_NONBLOCK);
        if (port.is_udp()) {
            relays.push_back(std::make_unique<UdpRelay>(loop, std::move(socket), target));
        } else {
            relays.push_back(std::make_unique<TcpRelay>(loop, std::move(socket), target));
        }
    }
    if (relays.empty()) {
        throw Error(ErrorCode::invalid, "systemd has handed in no socket");
    }
    return relays;
}

/// Returns when nobody has been served for a while.
void serve(EventLoop& loop, const std::vector<std::unique_ptr<Relay>>& relays) {
    Clock::time_point last_busy = Clock::now();
    Clock::time_point next_tick = last_busy + tick_interval;
    while (Clock::now() - last_busy < idle_limit) {
        loop.run_once(tick_interval);
        const Clock::time_point now = Clock::now();
        if (now >= next_tick) {
            next_tick = now + tick_interval;
            std::ranges::for_each(relays, [&](const auto& relay) { relay->tick(now); });
        }
        if (!std::ranges::all_of(relays, [](const auto& relay) { return relay->is_idle(); })) {
            last_busy = now;
        }
    }
}

void run(const std::vector<std::string>& words) {
    const IpAddress guest = IpAddress::parse(words.at(0));
    std::vector<PublishedPort> ports;
    std::transform(words.begin() + 1, words.end(), std::back_inserter(ports), PublishedPort::parse);
    EventLoop loop;
    serve(loop, make_relays(loop, guest, ports));
}

} // namespace
} // namespace capsul::relay

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("usage: capsul-relay GUEST [ADDRESS:]HOSTPORT:GUESTPORT[/udp]...\n", stderr);
        return 2;
    }
    try {
        capsul::relay::run({argv + 1, argv + argc});
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsul-relay: %s\n", error.what());
        return 1;
    }
}
