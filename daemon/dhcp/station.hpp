// Which frames pass between a bridge and a server that is a host of its own there. Pure.
#pragma once

#include "daemon/dhcp/packet.hpp"

#include <vector>

namespace capsul::dhcp {

/// As its neighbours see it.
struct Station {
    Mac mac{};
    std::vector<Prefix> addresses; ///< with its link-local one where it has IPv6
};

/// The link-local address that a host with this MAC gives itself (RFC 4291, appendix A).
[[nodiscard]] Prefix link_local_of(const Mac& mac);

/// Whether a frame of another's is for it: sent to its MAC and one of its addresses, a question to everybody
/// for an address (ARP), DHCP, or sent to one of the groups of IPv6 that it is in: those of who is asked for
/// its addresses, of all hosts and routers of the link, of servers of DHCPv6. So it has nothing to forward.
/// Nobody tells it routes.
[[nodiscard]] bool is_for(Frame frame, const Station& station);

/// Whether it has sent the frame.
[[nodiscard]] bool is_from(Frame frame, const Station& station);

} // namespace capsul::dhcp
