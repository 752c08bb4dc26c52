// Addresses in network byte order, as they stand in frames and messages of the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <netinet/in.h>

namespace capsul::dhcp {

using Mac = std::array<std::uint8_t, 6>;
using Ip4 = std::array<std::uint8_t, 4>;
using Ip6 = std::array<std::uint8_t, 16>;

/// An interface's address and the length of its subnet's prefix; of IPv4 the last 12 bytes are zero.
struct Prefix {
    std::uint8_t family = AF_INET;
    std::array<std::uint8_t, 16> bytes{};
    std::uint8_t length = 0;

    [[nodiscard]] std::size_t size() const { return family == AF_INET ? 4 : 16; }
    bool operator==(const Prefix&) const = default;
};

} // namespace capsul::dhcp
