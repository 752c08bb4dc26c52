#include "lib/vpn.hpp"

#include "lib/ascii.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <limits>
#include <set>

namespace capsul {
namespace {

constexpr std::size_t longest_node_name = 32;
constexpr std::size_t longest_host_name = 253; // RFC 1035 2.3.4, as text
constexpr int bundle_format = 1;

[[noreturn]] void refuse_address(std::string_view text) {
    throw Error(ErrorCode::invalid, fmt::format("'{}' is not an address and a port", text.substr(0, 64)),
                "write 192.0.2.1:11655, vpn.example.org:11655 or [2001:db8::1]:11655");
}

std::uint16_t port_of(std::string_view digits, std::string_view whole) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || end != digits.data() + digits.size() || port == 0) {
        refuse_address(whole);
    }
    return port;
}

/// Letters, digits and hyphens between dots: whatever else a name server might take, tinc's files never see.
bool is_peer_host(std::string_view text) {
    if (text.empty() || text.size() > longest_host_name || text.back() == '-' || text.back() == '.') {
        return false;
    }
    char before = '.';
    for (const char c : text) {
        const bool inside = is_lower(c) || is_digit(c);
        if (!inside && c != '-' && c != '.') {
            return false;
        }
        if ((before == '.' && !inside) || (before == '-' && c == '.')) {
            return false;
        }
        before = c;
    }
    return true;
}

/// "HOST", "HOST:PORT", an IPv6 address, or one in brackets with or without a port.
struct AddressParts {
    std::string_view host;
    std::string_view port; ///< with its colon; empty: none is given
};

AddressParts split_address(std::string_view text) {
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        const bool rest_fits =
            end != std::string_view::npos && (end + 1 == text.size() || text[end + 1] == ':');
        if (!rest_fits || text.substr(0, end).find(':') == std::string_view::npos) {
            refuse_address(text);
        }
        return {text.substr(1, end - 1), text.substr(end + 1)};
    }
    if (std::ranges::count(text, ':') == 1) {
        return {text.substr(0, text.find(':')), text.substr(text.find(':'))};
    }
    return {text, {}};
}

std::string bracketed(const std::string& host) {
    return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

bool is_ip_address(std::string_view host) {
    return host.find(':') != std::string_view::npos ||
           std::ranges::all_of(host, [](char c) { return is_digit(c) || c == '.'; });
}

std::string checked_host(std::string_view host, std::string_view whole) {
    if (is_ip_address(host)) {
        return IpAddress::parse(host).to_string();
    }
    std::string name(host);
    std::ranges::transform(name, name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    if (!is_peer_host(name)) {
        refuse_address(whole);
    }
    return name;
}

/// Of this host itself, of one link only, or of nobody.
bool is_of_no_other_host(const IpAddress& ip) {
    static const auto places = [] {
        std::vector<Cidr> made;
        for (const char* place : {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127",
                                  "fe80::/10", "ff00::/8"}) {
            made.push_back(Cidr::parse(place));
        }
        return made;
    }();
    return std::ranges::any_of(places, [&](const Cidr& place) { return place.contains(ip); });
}

/// getaddrinfo(3) takes "0x7f.1" for an address; a name of DNS has no label at its end that begins with a
/// digit.
bool is_local_name(std::string_view name) {
    const std::string_view last = name.substr(name.rfind('.') + 1);
    return is_digit(last.front()) || last == "localhost";
}

/// The bytes of an IPv4 address as a number.
std::uint32_t number_of(const IpAddress& ip) {
    std::uint32_t number = 0;
    const std::string text = ip.to_string();
    const char* at = text.data();
    for (int i = 0; i < 4; ++i) {
        unsigned byte = 0;
        at = std::from_chars(at, text.data() + text.size(), byte).ptr + 1;
        number = number << 8U | byte;
    }
    return number;
}

std::string signed_text(const VpnNode& node) {
    return dump_json(encode(node));
}

[[noreturn]] void refuse_node(const VpnNode& node, const std::string& why,
                              ErrorCode code = ErrorCode::invalid) {
    throw Error(code, fmt::format("host {}: {}", node.name.to_string(), why));
}

/// So that what all hosts of a VPN say fits into one bundle.
void check_amount(const VpnNode& node) {
    if (node.addresses.size() > most_vpn_addresses) {
        refuse_node(node, fmt::format("has more than {} addresses", most_vpn_addresses));
    }
    if (node.guests.size() > most_vpn_guests) {
        refuse_node(node, fmt::format("tells of more than {} VMs", most_vpn_guests));
    }
    if (node.version > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
        refuse_node(node, "its version is not one that can be kept");
    }
}

void check_addresses(const VpnNode& node, const VpnBundle& bundle) {
    for (const VpnAddress& address : node.addresses) {
        if (const auto problem = address_problem(address, bundle.subnet, bundle.subnet6)) {
            refuse_node(node, *problem);
        }
    }
}

void check_node(const VpnStatement& statement, const VpnBundle& bundle) {
    const VpnNode& node = statement.node;
    if (node.network != bundle.id) {
        refuse_node(node, "is of another VPN");
    }
    check_amount(node);
    check_addresses(node, bundle);
    if (!bundle.subnet.contains(node.slice) || node.slice.length() == bundle.subnet.length()) {
        refuse_node(node, fmt::format("its slice {} is not a part of {}", node.slice.to_string(),
                                      bundle.subnet.to_string()));
    }
    const auto outside = [&](const VpnGuest& guest) {
        return (guest.ip && !node.slice.contains(*guest.ip)) ||
               (guest.ip6 && !(bundle.subnet6 && bundle.subnet6->contains(*guest.ip6)));
    };
    if (std::ranges::any_of(node.guests, outside)) {
        refuse_node(node, "has a VM with an address that is not of its slice");
    }
    if (!statement.is_genuine()) {
        refuse_node(node, "what it says of itself was changed on the way, or never signed by it",
                    ErrorCode::verification);
    }
}

} // namespace

std::optional<std::string> address_problem(const VpnAddress& address, const Cidr& subnet,
                                           const std::optional<Cidr>& subnet6) {
    if (!is_ip_address(address.host())) {
        return is_local_name(address.host())
                   ? std::optional(fmt::format("{} is no name of another host", address.to_string()))
                   : std::nullopt;
    }
    const IpAddress ip = IpAddress::parse(address.host());
    if (is_of_no_other_host(ip)) {
        return fmt::format("{} is no address at which others reach a host", address.to_string());
    }
    return subnet.contains(ip) || (subnet6 && subnet6->contains(ip))
               ? std::optional(fmt::format("{} is inside the VPN", address.to_string()))
               : std::nullopt;
}

NodeName NodeName::parse(std::string_view text) {
    const bool ok = !text.empty() && text.size() <= longest_node_name && is_lower(text.front()) &&
                    std::ranges::all_of(text, [](char c) { return is_lower(c) || is_digit(c) || c == '_'; });
    if (!ok) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not a host's name in a VPN", text.substr(0, 64)),
                    fmt::format("a letter, then letters, digits and _, in lower case, at most {}",
                                longest_node_name));
    }
    return NodeName(std::string(text));
}

NodeName NodeName::of_host(std::string_view host_name) {
    std::string name;
    for (char c : host_name.substr(0, host_name.find('.')).substr(0, longest_node_name)) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        name += is_lower(c) || is_digit(c) ? c : '_';
    }
    if (name.empty() || !is_lower(name.front())) {
        name = ("h" + name).substr(0, longest_node_name);
    }
    return parse(name);
}

VpnAddress VpnAddress::parse(std::string_view text, std::uint16_t default_port) {
    const auto [host, port] = split_address(text);
    if (port.empty() && default_port == 0) {
        refuse_address(text);
    }
    VpnAddress address;
    address.port_ = port.empty() ? default_port : port_of(port.substr(1), text);
    address.host_ = checked_host(host, text);
    return address;
}

std::string VpnAddress::to_string() const {
    return fmt::format("{}:{}", bracketed(host_), port_);
}

VpnAddressWish VpnAddressWish::parse(std::string_view text) {
    const auto [host, port] = split_address(text);
    VpnAddressWish wish;
    wish.port_ = port.empty() ? std::uint16_t{0} : port_of(port.substr(1), text);
    wish.host_ = checked_host(host, text);
    return wish;
}

std::string VpnAddressWish::to_string() const {
    return port_ == 0 ? bracketed(host_) : fmt::format("{}:{}", bracketed(host_), port_);
}

VpnAddress VpnAddressWish::with_default(std::uint16_t port) const {
    VpnAddress address;
    address.host_ = host_;
    address.port_ = port_ == 0 ? port : port_;
    return address;
}

VpnStatement VpnStatement::make(const VpnNode& node, const PrivateIdentity& identity) {
    return {node, identity.sign(signed_text(node))};
}

bool VpnStatement::is_genuine() const {
    return node.identity.has_signed(signed_text(node), signature);
}

VpnBundle VpnBundle::from_text(std::string_view text) {
    if (text.size() > most_bundle_bytes) {
        throw Error(ErrorCode::too_large, fmt::format("what a host tells has {} bytes, more than {}",
                                                      text.size(), most_bundle_bytes));
    }
    auto bundle = parse<VpnBundle>(text);
    bundle.check();
    return bundle;
}

void VpnBundle::check() const {
    if (format != bundle_format) {
        throw Error(ErrorCode::invalid, fmt::format("format: {} is not known here", format),
                    "the same version of capsul on all hosts understands it");
    }
    if (subnet.is_ipv6() || (subnet6 && (!subnet6->is_ipv6() || subnet6->length() != 64))) {
        throw Error(ErrorCode::invalid, "subnet: is IPv4, and subnet6 an IPv6 /64");
    }
    if (slice && (!subnet.contains(*slice) || slice->length() == subnet.length())) {
        throw Error(ErrorCode::invalid, "slice: is not a part of the subnet");
    }
    if (nodes.empty() || nodes.size() > most_vpn_nodes) {
        throw Error(ErrorCode::invalid, fmt::format("nodes: 1 to {} hosts", most_vpn_nodes));
    }
    if (revoked.size() > most_revoked_identities) {
        throw Error(ErrorCode::invalid, fmt::format("revoked: more than {} hosts", most_revoked_identities));
    }
    std::set<NodeName> names;
    std::set<Identity> identities;
    for (const VpnStatement& statement : nodes) {
        check_node(statement, *this);
        if (!names.insert(statement.node.name).second || !identities.insert(statement.node.identity).second) {
            refuse_node(statement.node, "is there twice");
        }
    }
}

IpAddress vpn_host_ip(const Cidr& slice) {
    return IpRange::hosts_of(slice).first();
}

IpAddress vpn_resolver_ip(const Cidr& slice) {
    return vpn_host_ip(slice).plus(1);
}

IpAddress vpn_ip6(const Cidr& subnet6, const IpAddress& ip) {
    return subnet6.first().plus(number_of(ip));
}

IpAddress eui64_address(const Cidr& subnet6, const Mac& mac) {
    std::uint64_t id = 0;
    for (std::size_t i = 0; i < 6; ++i) {
        unsigned byte = 0;
        const char* const digits = mac.to_string().data() + 3 * i;
        std::from_chars(digits, digits + 2, byte, 16);
        id = id << 8U | (i == 0 ? byte ^ 0x02U : byte);
        if (i == 2) {
            id = id << 16U | 0xfffeU;
        }
    }
    return subnet6.first().plus(id);
}

int vpn_slice_length(const Cidr& subnet) {
    constexpr int hosts = 6;     // 64 of them
    constexpr int smallest = 27; // 30 addresses
    return std::max(std::min(subnet.length() + hosts, smallest), subnet.length() + 1);
}

} // namespace capsul
