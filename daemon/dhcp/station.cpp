#include "daemon/dhcp/station.hpp"

#include <algorithm>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>

namespace capsul::dhcp {
namespace {

constexpr Mac everybody{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
constexpr Mac all_hosts{0x33, 0x33, 0, 0, 0, 1};
constexpr Mac all_routers{0x33, 0x33, 0, 0, 0, 2};
constexpr Mac all_servers{0x33, 0x33, 0, 1, 0, 2};

bool is_arp(Frame frame) {
    return frame[12] == ETHERTYPE_ARP >> 8U && frame[13] == (ETHERTYPE_ARP & 0xffU);
}

bool has_address(const Station& station, Frame ip) {
    return std::ranges::any_of(station.addresses, [&](const Prefix& address) {
        return std::ranges::equal(std::span(address.bytes).first(address.size()), ip);
    });
}

/// Of who is asked for the MAC of an address (RFC 4291, 2.7.1, and RFC 2464, 7).
bool is_group_of(Frame target, const Prefix& address) {
    const auto& bytes = address.bytes;
    const Mac group{0x33, 0x33, 0xff, bytes[13], bytes[14], bytes[15]};
    return address.family == AF_INET6 && std::ranges::equal(target, group);
}

bool is_in_group(const Station& station, Frame target) {
    return std::ranges::any_of(std::array{all_hosts, all_routers, all_servers},
                               [&](const Mac& group) { return std::ranges::equal(target, group); }) ||
           std::ranges::any_of(station.addresses,
                               [&](const Prefix& address) { return is_group_of(target, address); });
}

/// One that is hidden behind other headers comes through. It harms nobody: the server answers its neighbours.
bool tells_routes(const Packet& packet) {
    return packet.ipv6 && packet.protocol == IPPROTO_ICMPV6 && !packet.payload.empty() &&
           (packet.payload[0] == ND_ROUTER_ADVERT || packet.payload[0] == ND_REDIRECT);
}

} // namespace

Prefix link_local_of(const Mac& mac) {
    Prefix address{AF_INET6, {0xfe, 0x80}, 64};
    const std::array<std::uint8_t, 8> id{
        static_cast<std::uint8_t>(mac[0] ^ 2U), mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
    std::ranges::copy(id, address.bytes.begin() + 8);
    return address;
}

bool is_for(Frame frame, const Station& station) {
    if (frame.size() < ethernet_size || (sender_of(frame)[0] & 1U) != 0 || is_from(frame, station)) {
        return false;
    }
    const Frame target = target_of(frame);
    const bool to_it = std::ranges::equal(target, station.mac);
    const bool to_everybody = std::ranges::equal(target, everybody);
    if (is_arp(frame)) {
        return to_it || to_everybody;
    }
    const auto packet = parse(frame);
    if (!packet || tells_routes(*packet)) {
        return false;
    }
    return (to_it && has_address(station, packet->destination)) ||
           (to_everybody && !packet->ipv6 && is_udp(*packet, client4, server4)) ||
           (packet->ipv6 && is_in_group(station, target));
}

bool is_from(Frame frame, const Station& station) {
    return frame.size() >= ethernet_size && std::ranges::equal(sender_of(frame), station.mac);
}

} // namespace capsul::dhcp
