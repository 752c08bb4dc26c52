#include "daemon/dhcp/packet.hpp"

#include <net/ethernet.h>
#include <netinet/in.h>

namespace capsul::dhcp {
namespace {

constexpr std::size_t ip4_size = 20;
constexpr std::size_t ip6_size = 40;

unsigned number_at(Frame bytes, std::size_t place) {
    return static_cast<unsigned>(bytes[place] << 8U) | bytes[place + 1];
}

std::optional<Packet> parse_ip4(Frame bytes) {
    if (bytes.size() < ip4_size || bytes[0] >> 4U != 4) {
        return std::nullopt;
    }
    const std::size_t header = (bytes[0] & 0x0fU) * std::size_t{4};
    const std::size_t whole = number_at(bytes, 2);
    const bool is_fragment = (number_at(bytes, 6) & 0x3fffU) != 0;
    if (header < ip4_size || whole < header || whole > bytes.size() || is_fragment) {
        return std::nullopt;
    }
    return Packet{false,
                  bytes[9],
                  bytes[8],
                  bytes.subspan(12, 4),
                  bytes.subspan(16, 4),
                  bytes.subspan(header, whole - header)};
}

std::optional<Packet> parse_ip6(Frame bytes) {
    if (bytes.size() < ip6_size || bytes[0] >> 4U != 6) {
        return std::nullopt;
    }
    const std::size_t length = number_at(bytes, 4);
    if (length > bytes.size() - ip6_size) {
        return std::nullopt;
    }
    return Packet{true,
                  bytes[6],
                  bytes[7],
                  bytes.subspan(8, 16),
                  bytes.subspan(24, 16),
                  bytes.subspan(ip6_size, length)};
}

} // namespace

std::optional<Packet> parse(Frame frame) {
    if (frame.size() < ethernet_size) {
        return std::nullopt;
    }
    switch (number_at(frame, 12)) {
    case ETHERTYPE_IP:
        return parse_ip4(frame.subspan(ethernet_size));
    case ETHERTYPE_IPV6:
        return parse_ip6(frame.subspan(ethernet_size));
    default:
        return std::nullopt;
    }
}

bool is_udp(const Packet& packet, std::uint16_t from, std::uint16_t to) {
    constexpr std::size_t header = 8;
    return packet.protocol == IPPROTO_UDP && packet.payload.size() >= header &&
           number_at(packet.payload, 0) == from && number_at(packet.payload, 2) == to &&
           number_at(packet.payload, 4) >= header && number_at(packet.payload, 4) <= packet.payload.size();
}

bool is_discovery(const Packet& packet, std::uint8_t type, std::size_t size) {
    return packet.protocol == IPPROTO_ICMPV6 && packet.hops == from_this_link &&
           packet.payload.size() >= size && packet.payload[0] == type && packet.payload[1] == 0;
}

} // namespace capsul::dhcp
