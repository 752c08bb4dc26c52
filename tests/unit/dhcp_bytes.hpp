// Frames as the tests of DHCP write them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace capsul::dhcp {

using Bytes = std::vector<std::uint8_t>;

inline Bytes hex(std::string text) {
    std::erase(text, ' ');
    Bytes bytes;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        bytes.push_back(static_cast<std::uint8_t>(std::stoul(text.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

inline const std::string to_all = "ffffffffffff";
inline const std::string guest = "02000000000a";

} // namespace capsul::dhcp
