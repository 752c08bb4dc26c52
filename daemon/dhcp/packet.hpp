// What is in a frame. Pure.
#pragma once

#include "daemon/dhcp/addresses.hpp"

#include <optional>
#include <span>

namespace capsul::dhcp {

/// An Ethernet frame, as long as it is said to be by whoever read it.
using Frame = std::span<const std::uint8_t>;

inline constexpr std::size_t ethernet_size = 14;
inline constexpr std::uint8_t from_this_link = 255; // no router leaves a hop limit like this
inline constexpr std::uint16_t server4 = 67;
inline constexpr std::uint16_t client4 = 68;
inline constexpr std::uint16_t server6 = 547;
inline constexpr std::uint16_t client6 = 546;

/// What is inside a frame that holds one whole IP packet.
struct Packet {
    bool ipv6 = false;
    std::uint8_t protocol = 0;
    std::uint8_t hops = 0;
    Frame source;
    Frame destination;
    Frame payload;
};

/// Nothing for a fragment of IPv4, and what is cut off or lies about its length.
[[nodiscard]] std::optional<Packet> parse(Frame frame);

/// Of a frame that is one.
[[nodiscard]] inline Frame target_of(Frame frame) {
    return frame.subspan(0, 6);
}
[[nodiscard]] inline Frame sender_of(Frame frame) {
    return frame.subspan(6, 6);
}

/// A datagram of UDP, with nothing between the IP header and its own.
[[nodiscard]] bool is_udp(const Packet& packet, std::uint16_t from, std::uint16_t to);

/// A message of neighbour discovery whose fixed part has this size.
[[nodiscard]] bool is_discovery(const Packet& packet, std::uint8_t type, std::size_t size);

} // namespace capsul::dhcp
