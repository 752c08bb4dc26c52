#include "lib/cidr.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <fmt/format.h>

namespace capsul {
namespace {

Error not_valid(std::string_view text, const char* what, const char* hint) {
    return {ErrorCode::invalid, fmt::format("'{}' is not {}", text.substr(0, 64), what), hint};
}

bool is_mapped_ipv4(const std::array<unsigned char, 16>& bytes) {
    constexpr std::array<unsigned char, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

} // namespace

IpAddress IpAddress::parse(std::string_view text) {
    IpAddress address;
    address.is_ipv6_ = text.find(':') != std::string_view::npos;
    const bool understood = text.find('\0') == std::string_view::npos &&
                            ::inet_pton(address.is_ipv6_ ? AF_INET6 : AF_INET, std::string(text).c_str(),
                                        address.bytes_.data()) == 1;
    if (!understood || (address.is_ipv6_ && is_mapped_ipv4(address.bytes_))) {
        throw not_valid(text, "an IP address", "write 192.0.2.7 or 2001:db8::7");
    }
    return address;
}

IpAddress IpAddress::from_bytes(const unsigned char* bytes, bool is_ipv6) {
    IpAddress address;
    address.is_ipv6_ = is_ipv6;
    std::copy_n(bytes, is_ipv6 ? 16 : 4, address.bytes_.begin());
    return address;
}

std::string IpAddress::to_string() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(is_ipv6_ ? AF_INET6 : AF_INET, bytes_.data(), text.data(), text.size());
    return text.data();
}

IpAddress IpAddress::plus(std::uint64_t count) const {
    IpAddress sum = *this;
    for (int i = bits() / 8 - 1; i >= 0 && count > 0; --i) {
        unsigned char& byte = sum.bytes_.at(static_cast<std::size_t>(i));
        const std::uint64_t value = byte + (count & 0xffU);
        byte = static_cast<unsigned char>(value & 0xffU);
        count = (count >> 8U) + (value >> 8U);
    }
    return sum;
}

IpAddress IpAddress::with_rest(int first, bool ones) const {
    IpAddress result = *this;
    for (int index = first; index < bits(); ++index) {
        unsigned char& byte = result.bytes_.at(static_cast<std::size_t>(index / 8));
        const auto mask = static_cast<unsigned char>(0x80U >> static_cast<unsigned>(index % 8));
        byte = static_cast<unsigned char>(ones ? byte | mask : byte & ~mask);
    }
    return result;
}

Cidr Cidr::parse(std::string_view text) {
    constexpr const char* hint = "write 10.80.0.0/24 or 2001:db8::/64";
    const auto slash = text.find('/');
    if (slash == std::string_view::npos) {
        throw not_valid(text, "a subnet: the length of its prefix is missing", hint);
    }
    Cidr subnet;
    subnet.first_ = IpAddress::parse(text.substr(0, slash));
    const std::string_view length = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), subnet.length_);
    if (error != std::errc{} || end != length.data() + length.size() || length.front() == '-' ||
        subnet.length_ > subnet.first_.bits()) {
        throw not_valid(text, "a subnet: the length of its prefix is wrong", hint);
    }
    const IpAddress network = subnet.first_.with_rest(subnet.length_, false);
    if (network != subnet.first_) {
        throw Error(ErrorCode::invalid,
                    fmt::format("'{}' is not a subnet: it has host bits", text.substr(0, 64)),
                    fmt::format("the subnet is {}/{}", network.to_string(), subnet.length_));
    }
    return subnet;
}

Cidr Cidr::around(const IpAddress& address, int length) {
    Cidr subnet;
    subnet.first_ = address.with_rest(length, false);
    subnet.length_ = length;
    return subnet;
}

std::string Cidr::to_string() const {
    return fmt::format("{}/{}", first_.to_string(), length_);
}

bool Cidr::contains(const IpAddress& address) const {
    return address.is_ipv6() == is_ipv6() && address.with_rest(length_, false) == first_;
}

bool Cidr::contains(const Cidr& other) const {
    return other.length_ >= length_ && contains(other.first_);
}

bool Cidr::is_host(const IpAddress& address) const {
    if (!contains(address) || length_ >= first_.bits() - 1) {
        return contains(address);
    }
    return address != first_ && (is_ipv6() || address != last());
}

IpRange IpRange::parse(std::string_view text) {
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) {
        throw not_valid(text, "a range of addresses", "write 10.80.0.100-10.80.0.199");
    }
    const IpRange range(IpAddress::parse(text.substr(0, dash)), IpAddress::parse(text.substr(dash + 1)));
    if (range.first_.is_ipv6() != range.last_.is_ipv6() || range.last_ < range.first_) {
        throw not_valid(text, "a range: its last address is not after its first", "");
    }
    return range;
}

IpRange IpRange::hosts_of(const Cidr& subnet) {
    const bool all = subnet.is_host(subnet.first());
    const IpAddress first = all ? subnet.first() : subnet.first().plus(1);
    const bool has_broadcast = !all && !subnet.is_ipv6();
    IpAddress last = subnet.last();
    if (has_broadcast) {
        // The broadcast address has a one in its last bit.
        last = last.with_rest(last.bits() - 1, false);
    }
    return {first, last};
}

std::string IpRange::to_string() const {
    return fmt::format("{}-{}", first_.to_string(), last_.to_string());
}

} // namespace capsul
