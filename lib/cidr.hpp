// IP addresses, subnets and ranges of addresses: IPv4 and IPv6 alike.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace capsul {

/// One IPv4 or IPv6 address, in canonical form (RFC 5952 for IPv6). IPv4 sorts before IPv6.
class IpAddress {
  public:
    IpAddress() = default;
    /// Throws Error (invalid). No zone ("%eth0"), no IPv4-mapped IPv6.
    [[nodiscard]] static IpAddress parse(std::string_view text);
    /// From 4 or 16 bytes in network order.
    [[nodiscard]] static IpAddress from_bytes(const unsigned char* bytes, bool is_ipv6);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] bool is_ipv6() const noexcept { return is_ipv6_; }
    /// 32 or 128.
    [[nodiscard]] int bits() const noexcept { return is_ipv6_ ? 128 : 32; }
    /// The address `count` after this one; wraps at the end of the address space.
    [[nodiscard]] IpAddress plus(std::uint64_t count) const;
    /// With the bits from `first` on all zero or all one.
    [[nodiscard]] IpAddress with_rest(int first, bool ones) const;
    auto operator<=>(const IpAddress&) const = default;

  private:
    bool is_ipv6_ = false;
    std::array<unsigned char, 16> bytes_{};
};

/// A subnet such as 10.80.0.0/24: an address whose host bits are zero, and the length of its prefix.
class Cidr {
  public:
    Cidr() = default;
    /// Throws Error (invalid), with the subnet that was probably meant when host bits are set.
    [[nodiscard]] static Cidr parse(std::string_view text);
    /// The subnet with a prefix of `length` that `address` is in.
    [[nodiscard]] static Cidr around(const IpAddress& address, int length);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] bool is_ipv6() const noexcept { return first_.is_ipv6(); }
    [[nodiscard]] int length() const noexcept { return length_; }
    [[nodiscard]] const IpAddress& first() const noexcept { return first_; }
    [[nodiscard]] IpAddress last() const { return first_.with_rest(length_, true); }
    [[nodiscard]] bool contains(const IpAddress& address) const;
    [[nodiscard]] bool contains(const Cidr& other) const;
    [[nodiscard]] bool overlaps(const Cidr& other) const { return contains(other) || other.contains(*this); }
    /// Whether a host may have this address of the subnet: not its network address and not its broadcast
    /// address (IPv6: not the routers' anycast address, RFC 4291 2.6.1). All are, in a /31 (RFC 3021) or a
    /// subnet of one address.
    [[nodiscard]] bool is_host(const IpAddress& address) const;
    auto operator<=>(const Cidr&) const = default;

  private:
    IpAddress first_;
    int length_ = 0;
};

/// Addresses from first to last, both included: "10.80.0.100-10.80.0.199".
class IpRange {
  public:
    IpRange() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static IpRange parse(std::string_view text);
    /// Every address that a host may have in `subnet`.
    [[nodiscard]] static IpRange hosts_of(const Cidr& subnet);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] const IpAddress& first() const noexcept { return first_; }
    [[nodiscard]] const IpAddress& last() const noexcept { return last_; }
    [[nodiscard]] bool contains(const IpAddress& address) const {
        return first_ <= address && address <= last_;
    }
    auto operator<=>(const IpRange&) const = default;

  private:
    IpRange(IpAddress first, IpAddress last) : first_(first), last_(last) {}
    IpAddress first_;
    IpAddress last_;
};

} // namespace capsul
