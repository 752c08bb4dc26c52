#include "lib/base64.hpp"

#include <array>
#include <cstdint>

namespace capsul {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint32_t no_digit = 64;

constexpr std::array<std::uint32_t, 256> make_values() {
    std::array<std::uint32_t, 256> values{};
    values.fill(no_digit);
    for (std::uint32_t i = 0; i < alphabet.size(); ++i) {
        values.at(static_cast<unsigned char>(alphabet[i])) = i;
    }
    return values;
}

constexpr std::array<std::uint32_t, 256> values = make_values();

} // namespace

std::string base64_encode(std::string_view data) {
    std::string text;
    text.reserve((data.size() + 2) / 3 * 4);
    while (!data.empty()) {
        const std::string_view group = data.substr(0, 3);
        std::uint32_t bits = 0;
        for (std::size_t i = 0; i < 3; ++i) {
            bits = (bits << 8) | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
        }
        for (std::size_t i = 0; i < 4; ++i) {
            text += i <= group.size() ? alphabet[(bits >> (18 - 6 * i)) & 63U] : '=';
        }
        data.remove_prefix(group.size());
    }
    return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    text.remove_suffix(padding);
    std::string data;
    data.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : text) {
        const std::uint32_t value = values.at(static_cast<unsigned char>(c));
        if (value == no_digit) {
            return std::nullopt;
        }
        bits = (bits << 6) | value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            data += static_cast<char>(static_cast<unsigned char>(bits >> count));
        }
    }
    const bool bits_left_over = (bits & ((1U << count) - 1)) != 0;
    return bits_left_over ? std::nullopt : std::optional(data);
}

} // namespace capsul
