// Which frames pass between the guests of a bridge and its DHCP server. Pure.
//
// The server stands for the host: it has the bridge's MAC and addresses. So what is sent to it alone goes to
// the host itself, and only what a guest sends to everybody, or to all servers or routers, can be passed on
// to it: all of DHCP but the renewal of an IPv4 lease, which a client then asks everybody for (RFC
// 2131, 4.4.5).
#pragma once

#include "daemon/dhcp/packet.hpp"

#include <optional>
#include <vector>

namespace capsul::dhcp {

/// As guests see it.
struct Server {
    Mac mac{};
    std::optional<Ip4> ip4;
    std::optional<Ip6> link_local; ///< where it serves IPv6
};

/// Whether a guest's frame is for the server: DHCP, DHCPv6, or a search for routers (RFC 2131, RFC 8415, RFC
/// 4861). Whole, without VLAN tag, and without anything between the IP header and those, in which a lie could
/// hide.
[[nodiscard]] bool is_request(Frame frame, const Server& server);

/// Whether the server's frame is an answer to such, or a router advertisement; from its own MAC and address.
[[nodiscard]] bool is_answer(Frame frame, const Server& server);

/// A question, in the name of the sender of a request, for the server's own address: an ARP request or a
/// neighbour solicitation. From it the server's kernel learns the sender's MAC. It could not find it out: the
/// answer of a guest that it asked would go to the host. Empty when the sender has no address yet.
[[nodiscard]] std::vector<std::uint8_t> introduction(Frame request, const Server& server);

} // namespace capsul::dhcp
