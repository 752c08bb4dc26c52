// Names and addresses, checked. Parsing never throws and never allocates.
#pragma once

#include <array>
#include <cstdint>
#include <netinet/in.h>
#include <optional>
#include <string_view>

namespace capsul::nethelper {

/// The name of an interface, or a prefix of one, padded with zeros as the kernel and nftables have it.
struct Name {
    std::array<char, 16> text{};

    [[nodiscard]] std::string_view view() const { return text.data(); }
    [[nodiscard]] bool starts_with(const Name& prefix) const { return view().starts_with(prefix.view()); }
    [[nodiscard]] bool is(std::string_view other) const { return view() == other; }
    auto operator<=>(const Name&) const = default;
};

using Mac = std::array<std::uint8_t, 6>;

/// An IPv4 or IPv6 address in network byte order; of IPv4 the last 12 bytes are zero.
struct Address {
    std::uint8_t family = AF_INET;
    std::array<std::uint8_t, 16> bytes{};

    [[nodiscard]] unsigned bits() const { return family == AF_INET ? 32 : 128; }
    bool operator==(const Address&) const = default;
};

/// An address and the length of its network's prefix; the address may be that of a host in it.
struct Cidr {
    Address address;
    std::uint8_t length = 0;

    [[nodiscard]] Address first() const;
    [[nodiscard]] Address last() const;
    [[nodiscard]] bool contains(const Address& other) const;
    [[nodiscard]] bool contains(const Cidr& other) const;
    [[nodiscard]] bool overlaps(const Cidr& other) const;
};

/// What this program makes: [a-z][a-z0-9-]*, at most 15.
[[nodiscard]] std::optional<Name> parse_own_name(std::string_view text);
/// What the administrator may have made: letters, digits, "." "_" "-", at most 15, neither "." nor "..".
[[nodiscard]] std::optional<Name> parse_any_name(std::string_view text);
/// Decimal digits without sign or leading zero.
[[nodiscard]] std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t max);
/// A guest's: six pairs of hexadecimal digits, unicast, locally administered, not fe:… (the TAPs' own).
[[nodiscard]] std::optional<Mac> parse_guest_mac(std::string_view text);
[[nodiscard]] std::optional<Address> parse_address(std::string_view text);
/// "ADDRESS/LENGTH".
[[nodiscard]] std::optional<Cidr> parse_cidr(std::string_view text);

/// The IPv6 link-local address that a guest derives from its MAC (RFC 4291, appendix A).
[[nodiscard]] Address link_local_of(const Mac& mac);

using AddressText = std::array<char, INET6_ADDRSTRLEN>;
[[nodiscard]] AddressText to_text(const Address& address);

/// Takes the text before the first `separator` off `text`, the separator too; all of it when there is none.
[[nodiscard]] std::string_view take_field(std::string_view& text, char separator);

} // namespace capsul::nethelper
