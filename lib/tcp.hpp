// TCP with a limit of time: these sockets do not block, and whoever waits says until when.
#pragma once

#include "lib/cidr.hpp"
#include "lib/fd.hpp"
#include "lib/socket_address.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

using Deadline = std::chrono::steady_clock::time_point;

[[nodiscard]] inline Deadline within(std::chrono::milliseconds time) {
    return std::chrono::steady_clock::now() + time;
}

/// Until one of `events` (poll(2)), or an error, is there. Throws Error (timeout).
void wait_for(int fd, short events, Deadline deadline);

/// All that the name of a host, or an address, stands for. Throws Error (unreachable).
[[nodiscard]] std::vector<SocketAddress> look_up(const std::string& host, std::uint16_t port);

/// Connects, from the address `source` if there is one. Throws Error (unreachable, timeout).
[[nodiscard]] UniqueFd connect_tcp(const SocketAddress& target, const std::optional<IpAddress>& source,
                                   Deadline deadline);

/// Listens, also at an address that comes later; at "::", for IPv4 too. Throws Error (in_use
/// for a port that somebody else has).
[[nodiscard]] UniqueFd listen_tcp(const SocketAddress& address);

} // namespace capsul
