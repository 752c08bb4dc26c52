// Ports: addresses to reach a server at, and host ports that lead into a guest.
#pragma once

#include "lib/fields.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace capsul {

/// An address and a TCP or UDP port on it.
struct Endpoint {
    std::string address;
    std::uint16_t port = 0;

    static constexpr auto fields() {
        return field_list(required("address", &Endpoint::address), required("port", &Endpoint::port));
    }
    auto operator<=>(const Endpoint&) const = default;
};

/// A host port that leads to a guest port: "8080:80", "8080:80/udp", "0.0.0.0:8080:80/tcp", "[::1]:8080:80".
/// Without an address it is 127.0.0.1: nothing is opened to the network unasked. "[::]" is all of IPv6 and no
/// IPv4.
class PublishedPort {
  public:
    PublishedPort() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static PublishedPort parse(std::string_view text);
    [[nodiscard]] static PublishedPort tcp(std::string address, std::uint16_t host_port,
                                           std::uint16_t guest_port);
    /// "127.0.0.1:8080:80/tcp"; an IPv6 address stands in brackets.
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    [[nodiscard]] bool is_ipv6() const noexcept { return address_.find(':') != std::string::npos; }
    [[nodiscard]] std::uint16_t host_port() const noexcept { return host_port_; }
    [[nodiscard]] std::uint16_t guest_port() const noexcept { return guest_port_; }
    [[nodiscard]] bool is_udp() const noexcept { return udp_; }
    /// Whether both cannot be bound at once.
    [[nodiscard]] bool clashes_with(const PublishedPort& other) const;
    auto operator<=>(const PublishedPort&) const = default;

  private:
    std::string address_ = "127.0.0.1";
    std::uint16_t host_port_ = 0;
    std::uint16_t guest_port_ = 0;
    bool udp_ = false;
};

} // namespace capsul
