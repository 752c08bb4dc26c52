// Taking connections from a listening socket.
#pragma once

#include "lib/cidr.hpp"
#include "lib/fd.hpp"
#include "lib/socket_address.hpp"

#include <optional>

namespace capsul::peer {

struct Connection {
    UniqueFd socket; ///< does not block
    IpAddress from;  ///< IPv4 as such, also when it came to an IPv6 socket
};

/// IPv4 as such, also when it came to an IPv6 socket.
[[nodiscard]] IpAddress address_of(const SocketAddress& address);

/// One that waits; nothing when it has gone again, or there is no room for it just now.
[[nodiscard]] std::optional<Connection> accept_one(int listener);

} // namespace capsul::peer
