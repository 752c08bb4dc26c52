#include "daemon/nethelper/values.hpp"

#include "lib/ascii.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>

namespace capsul::nethelper {
namespace {

bool is_own_character(char c) {
    return is_lower(c) || is_digit(c) || c == '-';
}

bool is_any_character(char c) {
    return is_own_character(c) || (c >= 'A' && c <= 'Z') || c == '.' || c == '_';
}

/// The bits of byte `i` that belong to a prefix of `length` bits.
std::uint8_t mask_of(unsigned length, unsigned i) {
    const unsigned bits = length > i * 8 ? std::min(length - i * 8, 8U) : 0;
    return static_cast<std::uint8_t>(0xff00U >> bits);
}

std::optional<Name> to_name(std::string_view text, bool (*allowed)(char)) {
    Name name;
    if (text.empty() || text.size() >= name.text.size() || !std::all_of(text.begin(), text.end(), allowed)) {
        return std::nullopt;
    }
    std::copy(text.begin(), text.end(), name.text.begin());
    return name;
}

std::optional<std::uint8_t> parse_hex_byte(std::string_view text) {
    std::uint8_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    const bool good = text.size() == 2 && error == std::errc{} && end == text.data() + 2;
    return good ? std::optional(value) : std::nullopt;
}

} // namespace

Address Cidr::first() const {
    Address result = address;
    for (unsigned i = 0; i < address.bits() / 8; ++i) {
        result.bytes[i] &= mask_of(length, i);
    }
    return result;
}

Address Cidr::last() const {
    Address result = address;
    for (unsigned i = 0; i < address.bits() / 8; ++i) {
        result.bytes[i] = static_cast<std::uint8_t>(result.bytes[i] | ~mask_of(length, i));
    }
    return result;
}

bool Cidr::contains(const Address& other) const {
    return other.family == address.family && Cidr{other, length}.first() == first();
}

bool Cidr::contains(const Cidr& other) const {
    return other.length >= length && contains(other.address);
}

bool Cidr::overlaps(const Cidr& other) const {
    return contains(other) || other.contains(*this);
}

std::optional<Name> parse_own_name(std::string_view text) {
    return text.empty() || is_lower(text.front()) ? to_name(text, is_own_character) : std::nullopt;
}

std::optional<Name> parse_any_name(std::string_view text) {
    return text == "." || text == ".." ? std::nullopt : to_name(text, is_any_character);
}

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t max) {
    if (text.empty() || !is_digit(text.front()) || (text.front() == '0' && text.size() > 1)) {
        return std::nullopt;
    }
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = error == std::errc{} && end == text.data() + text.size() && value <= max;
    return good ? std::optional(value) : std::nullopt;
}

std::optional<Mac> parse_guest_mac(std::string_view text) {
    constexpr std::uint8_t multicast = 1;
    constexpr std::uint8_t local = 2;
    constexpr std::uint8_t of_taps = 0xfe;
    Mac mac{};
    if (text.size() != 17) {
        return std::nullopt;
    }
    for (std::uint8_t& byte : mac) {
        const auto parsed = parse_hex_byte(take_field(text, ':'));
        if (!parsed) {
            return std::nullopt;
        }
        byte = *parsed;
    }
    const bool good = (mac[0] & (multicast | local)) == local && mac[0] != of_taps;
    return good ? std::optional(mac) : std::nullopt;
}

std::optional<Address> parse_address(std::string_view text) {
    AddressText terminated{};
    if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    std::copy(text.begin(), text.end(), terminated.begin());
    Address address;
    address.family = text.find(':') == std::string_view::npos ? AF_INET : AF_INET6;
    const bool good = ::inet_pton(address.family, terminated.data(), address.bytes.data()) == 1;
    return good ? std::optional(address) : std::nullopt;
}

std::optional<Cidr> parse_cidr(std::string_view text) {
    const auto address = parse_address(take_field(text, '/'));
    if (!address) {
        return std::nullopt;
    }
    const auto length = parse_number(text, address->bits());
    return length ? std::optional(Cidr{*address, static_cast<std::uint8_t>(*length)}) : std::nullopt;
}

Address link_local_of(const Mac& mac) {
    constexpr std::uint8_t universal = 2;
    Address address{AF_INET6, {0xfe, 0x80}};
    address.bytes[8] = mac[0] ^ universal;
    address.bytes[9] = mac[1];
    address.bytes[10] = mac[2];
    address.bytes[11] = 0xff;
    address.bytes[12] = 0xfe;
    std::copy(mac.begin() + 3, mac.end(), address.bytes.begin() + 13);
    return address;
}

AddressText to_text(const Address& address) {
    AddressText text{};
    ::inet_ntop(address.family, address.bytes.data(), text.data(), text.size());
    return text;
}

std::string_view take_field(std::string_view& text, char separator) {
    const std::size_t at = std::min(text.find(separator), text.size());
    const std::string_view field = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return field;
}

} // namespace capsul::nethelper
