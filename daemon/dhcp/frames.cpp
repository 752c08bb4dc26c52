#include "daemon/dhcp/frames.hpp"

#include <algorithm>
#include <netinet/icmp6.h>

namespace capsul::dhcp {
namespace {

using Bytes = std::vector<std::uint8_t>;

template <class... Parts>
Bytes joined(const Parts&... parts) {
    Bytes bytes;
    (bytes.insert(bytes.end(), std::begin(parts), std::end(parts)), ...);
    return bytes;
}

/// RFC 1071.
unsigned checksum(Frame bytes) {
    unsigned sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        sum += i % 2 == 0 ? static_cast<unsigned>(bytes[i] << 8U) : bytes[i];
    }
    while (sum >> 16U != 0) {
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return ~sum & 0xffffU;
}

Bytes arp_request(Frame mac, Frame ip, const Server& server) {
    // Ethernet and IPv4, addresses of 6 and 4 bytes, request (RFC 826).
    constexpr std::array<std::uint8_t, 10> head{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};
    return joined(server.mac, mac, head, mac, ip, Mac{}, *server.ip4);
}

Bytes neighbour_solicitation(Frame mac, Frame ip, const Server& server) {
    constexpr std::array<std::uint8_t, 8> solicitation{ND_NEIGHBOR_SOLICIT};
    constexpr std::array<std::uint8_t, 2> sender_option{ND_OPT_SOURCE_LINKADDR, 1};
    Bytes message = joined(solicitation, *server.link_local, sender_option, mac);
    // What stands in its pseudo-header (RFC 8200, 8.1) before the message.
    const auto size = static_cast<std::uint8_t>(message.size());
    const std::array<std::uint8_t, 8> length_and_protocol{0, 0, 0, size, 0, 0, 0, IPPROTO_ICMPV6};
    const unsigned sum = checksum(joined(ip, *server.link_local, length_and_protocol, message));
    message[2] = static_cast<std::uint8_t>(sum >> 8U);
    message[3] = static_cast<std::uint8_t>(sum);
    const std::array<std::uint8_t, 10> head{0x86, 0xdd,           0x60,          0, 0, 0, 0,
                                            size, IPPROTO_ICMPV6, from_this_link};
    return joined(server.mac, mac, head, ip, *server.link_local, message);
}

} // namespace

bool is_request(Frame frame, const Server& server) {
    const auto packet = parse(frame);
    const bool from_a_guest =
        packet && (sender_of(frame)[0] & 1U) == 0 && !std::ranges::equal(sender_of(frame), server.mac);
    if (!from_a_guest) {
        return false;
    }
    if (!packet->ipv6) {
        return server.ip4 && is_udp(*packet, client4, server4);
    }
    return server.link_local && (is_udp(*packet, client6, server6) ||
                                 is_discovery(*packet, ND_ROUTER_SOLICIT, sizeof(nd_router_solicit)));
}

bool is_answer(Frame frame, const Server& server) {
    const auto packet = parse(frame);
    if (!packet || !std::ranges::equal(sender_of(frame), server.mac)) {
        return false;
    }
    if (!packet->ipv6) {
        return server.ip4 && std::ranges::equal(packet->source, *server.ip4) &&
               is_udp(*packet, server4, client4);
    }
    return server.link_local && std::ranges::equal(packet->source, *server.link_local) &&
           (is_udp(*packet, server6, client6) ||
            is_discovery(*packet, ND_ROUTER_ADVERT, sizeof(nd_router_advert)));
}

std::vector<std::uint8_t> introduction(Frame request, const Server& server) {
    const auto packet = parse(request);
    const bool has_address =
        packet && std::ranges::any_of(packet->source, [](std::uint8_t byte) { return byte != 0; });
    if (!has_address || !(packet->ipv6 ? server.link_local.has_value() : server.ip4.has_value())) {
        return {};
    }
    return packet->ipv6 ? neighbour_solicitation(sender_of(request), packet->source, server)
                        : arp_request(sender_of(request), packet->source, server);
}

} // namespace capsul::dhcp
