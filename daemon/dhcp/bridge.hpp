// What is known of a bridge of this host without any privilege.
#pragma once

#include "daemon/dhcp/addresses.hpp"

#include <string>

namespace capsul::dhcp {

/// Throws std::system_error when there is no such interface.
[[nodiscard]] Mac mac_of(const std::string& interface);

/// Its IPv6 link-local address: the one that guests know their router by. A bridge gets it only when a first
/// port of it is up: waits for that a while. Throws std::runtime_error.
[[nodiscard]] Ip6 link_local_of(const std::string& interface);

} // namespace capsul::dhcp
