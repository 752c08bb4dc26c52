#include "lib/port.hpp"

#include "lib/error.hpp"

#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <fmt/format.h>

namespace capsul {
namespace {

[[noreturn]] void refuse_port(std::string_view text, const char* why) {
    throw Error(ErrorCode::invalid, fmt::format("cannot publish '{}': {}", text.substr(0, 64), why),
                "write HOSTPORT:GUESTPORT or ADDRESS:HOSTPORT:GUESTPORT, with /udp for UDP");
}

std::uint16_t parse_port(std::string_view text, std::string_view whole) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0) {
        refuse_port(whole, "a port is a number from 1 to 65535");
    }
    return port;
}

std::string parse_address(std::string_view text, std::string_view whole) {
    std::array<unsigned char, sizeof(in6_addr)> binary{};
    std::array<char, INET6_ADDRSTRLEN> canonical{};
    const bool bracketed = text.size() > 2 && text.front() == '[' && text.back() == ']';
    const std::string address(bracketed ? text.substr(1, text.size() - 2) : text);
    const int family = bracketed ? AF_INET6 : AF_INET;
    if (::inet_pton(family, address.c_str(), binary.data()) != 1 ||
        ::inet_ntop(family, binary.data(), canonical.data(), canonical.size()) == nullptr) {
        refuse_port(whole, "the address is neither IPv4 nor IPv6 in brackets");
    }
    if (const std::string_view text6 = canonical.data(); text6.starts_with("::ffff:")) {
        refuse_port(whole, "an IPv4 address is written as such");
    }
    return canonical.data();
}

bool is_wildcard(const std::string& address) {
    return address == "0.0.0.0" || address == "::";
}

} // namespace

PublishedPort PublishedPort::parse(std::string_view text) {
    PublishedPort port;
    std::string_view rest = text;
    if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
        const std::string_view protocol = rest.substr(slash + 1);
        if (protocol != "tcp" && protocol != "udp") {
            refuse_port(text, "the protocol is neither tcp nor udp");
        }
        port.udp_ = protocol == "udp";
        rest = rest.substr(0, slash);
    }
    const auto guest = rest.rfind(':');
    if (guest == std::string_view::npos) {
        refuse_port(text, "there is no guest port");
    }
    port.guest_port_ = parse_port(rest.substr(guest + 1), text);
    rest = rest.substr(0, guest);
    if (const auto host = rest.rfind(':'); host != std::string_view::npos) {
        port.address_ = parse_address(rest.substr(0, host), text);
        rest = rest.substr(host + 1);
    }
    port.host_port_ = parse_port(rest, text);
    return port;
}

PublishedPort PublishedPort::tcp(std::string address, std::uint16_t host_port, std::uint16_t guest_port) {
    PublishedPort port;
    port.address_ = std::move(address);
    port.host_port_ = host_port;
    port.guest_port_ = guest_port;
    return port;
}

std::string PublishedPort::to_string() const {
    return fmt::format("{}:{}:{}/{}", is_ipv6() ? "[" + address_ + "]" : address_, host_port_, guest_port_,
                       udp_ ? "udp" : "tcp");
}

bool PublishedPort::clashes_with(const PublishedPort& other) const {
    const bool same_place =
        is_ipv6() == other.is_ipv6() &&
        (address_ == other.address_ || is_wildcard(address_) || is_wildcard(other.address_));
    return same_place && host_port_ == other.host_port_ && udp_ == other.udp_;
}

} // namespace capsul
