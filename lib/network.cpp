#include "lib/network.hpp"

#include "lib/ascii.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

[[noreturn]] void refuse_rule(std::string_view text, const char* why) {
    throw Error(ErrorCode::invalid, fmt::format("egress '{}': {}", text.substr(0, 64), why),
                "write full, none, dns-icmp, or a list such as 192.0.2.0/24,[2001:db8::/32]:443/tcp");
}

std::uint16_t egress_port(std::string_view text, std::string_view whole) {
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc{} || end != text.data() + text.size() || port == 0) {
        refuse_rule(whole, "a port is a number from 1 to 65535");
    }
    return port;
}

/// A subnet, or one address.
Cidr place_of(std::string_view text) {
    if (text.find('/') != std::string_view::npos) {
        return Cidr::parse(text);
    }
    const IpAddress address = IpAddress::parse(text);
    return Cidr::around(address, address.bits());
}

/// The text parted at its first `separator`; the second part is empty when there is none.
std::pair<std::string_view, std::string_view> part(std::string_view text, char separator) {
    const auto place = text.find(separator);
    return place == std::string_view::npos ? std::pair{text, std::string_view()}
                                           : std::pair{text.substr(0, place), text.substr(place + 1)};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const auto place = text.find(separator);
        parts.push_back(text.substr(0, place));
        if (place == std::string_view::npos) {
            return parts;
        }
        text.remove_prefix(place + 1);
    }
}

bool overlap(const EgressRule& a, const EgressRule& b) {
    const bool is_any = a.protocol().empty() || b.protocol().empty();
    const bool same_ports =
        a.protocol() == b.protocol() && a.first_port() <= b.last_port() && b.first_port() <= a.last_port();
    return a.destination().overlaps(b.destination()) && (is_any || same_ports);
}

/// The kernel's sets take no two that do, unless they are the same.
void refuse_overlaps(const std::vector<EgressRule>& rules) {
    for (auto rule = rules.begin(); rule != rules.end(); ++rule) {
        const auto other = std::find_if(rules.begin(), rule, [&](const EgressRule& earlier) {
            return earlier != *rule && overlap(earlier, *rule);
        });
        if (other != rule) {
            throw Error(ErrorCode::invalid,
                        fmt::format("egress '{}': overlaps with {}", rule->to_string(), other->to_string()),
                        "leave out the one that is inside the other, or part them");
        }
    }
}

template <class T>
void set_once(std::optional<T>& field, T value, std::string_view text) {
    if (field) {
        throw Error(ErrorCode::invalid, fmt::format("network '{}': the same is given twice", text));
    }
    field = std::move(value);
}

} // namespace

EgressRule EgressRule::parse(std::string_view text) {
    EgressRule rule;
    std::string_view ports;
    if (text.starts_with('[')) {
        const auto [inside, rest] = part(text.substr(1), ']');
        if (rest.empty() ? !text.ends_with(']') : rest.size() < 2 || rest.front() != ':') {
            refuse_rule(text, "after the bracket comes nothing or :PORT/PROTOCOL");
        }
        rule.destination_ = place_of(inside);
        ports = rest.empty() ? rest : rest.substr(1);
    } else if (std::ranges::count(text, ':') > 1) {
        rule.destination_ = place_of(text);
    } else {
        const auto [left, right] = part(text, ':');
        rule.destination_ = place_of(left);
        ports = right;
        if (left.size() != text.size() && right.empty()) {
            refuse_rule(text, "there is no port after the colon");
        }
    }
    if (ports.empty()) {
        return rule;
    }
    const auto [numbers, protocol] = part(ports, '/');
    if (protocol != "tcp" && protocol != "udp") {
        refuse_rule(text, "a port needs its protocol: /tcp or /udp");
    }
    rule.protocol_ = protocol;
    const auto [first, last] = part(numbers, '-');
    rule.first_port_ = egress_port(first, text);
    rule.last_port_ = first.size() == numbers.size() ? rule.first_port_ : egress_port(last, text);
    if (rule.last_port_ < rule.first_port_) {
        refuse_rule(text, "the last port is before the first");
    }
    return rule;
}

std::string EgressRule::to_string() const {
    std::string subnet = destination_.to_string();
    if (protocol_.empty()) {
        return subnet;
    }
    const std::string ports = first_port_ == last_port_ ? std::to_string(first_port_)
                                                        : fmt::format("{}-{}", first_port_, last_port_);
    return fmt::format("{}:{}/{}", destination_.is_ipv6() ? "[" + subnet + "]" : subnet, ports, protocol_);
}

Egress Egress::parse(std::string_view text) {
    constexpr std::size_t most_rules = 64;
    Egress egress;
    if (text == "full") {
        return egress;
    }
    if (text == "none" || text == "dns-icmp") {
        egress.kind_ = text == "none" ? Kind::none : Kind::dns_icmp;
        return egress;
    }
    if (std::ranges::all_of(text, [](char c) { return is_letter(c) || c == '-'; })) {
        refuse_rule(text, "is no such word, and no list of places");
    }
    egress.kind_ = Kind::list;
    for (const std::string_view rule : split(text, ',')) {
        egress.rules_.push_back(EgressRule::parse(rule));
    }
    if (egress.rules_.size() > most_rules) {
        refuse_rule(text, "more than 64 rules");
    }
    refuse_overlaps(egress.rules_);
    return egress;
}

std::string Egress::to_string() const {
    switch (kind_) {
    case Kind::full:
        return "full";
    case Kind::none:
        return "none";
    case Kind::dns_icmp:
        return "dns-icmp";
    case Kind::list:
        break;
    }
    std::vector<std::string> texts;
    for (const EgressRule& rule : rules_) {
        texts.push_back(rule.to_string());
    }
    return fmt::format("{}", fmt::join(texts, ","));
}

NicSpec NicSpec::from_text(std::string_view text) {
    const std::vector<std::string_view> parts = split(text, ',');
    NicSpec nic;
    nic.network = Name::parse(parts.front());
    for (std::size_t i = 1; i < parts.size(); ++i) {
        const auto [key, value] = part(parts[i], '=');
        if (key == "ip") {
            const IpAddress address = IpAddress::parse(value);
            set_once(address.is_ipv6() ? nic.ip6 : nic.ip, address, text);
        } else if (key == "mac") {
            set_once(nic.mac, Mac::parse(value), text);
        } else {
            throw Error(ErrorCode::invalid, fmt::format("network '{}': unknown key '{}'", text, key),
                        "write NETWORK[,ip=ADDRESS][,mac=ADDRESS]");
        }
    }
    return nic;
}

std::string about_network(const Name& name, const std::string& text) {
    return fmt::format("network {}: {}", name.to_string(), text);
}

std::string network_unit_name(const Name& name) {
    return fmt::format("capsul-net-{}.service", name.to_string());
}

std::string dhcp_unit_name(const Name& name) {
    return fmt::format("capsul-dhcp-{}.service", name.to_string());
}

std::string vpn_unit_name(const Name& name) {
    return fmt::format("capsul-vpn-{}.service", name.to_string());
}

std::string peer_unit_name(const Name& name) {
    return fmt::format("capsul-peer-{}.service", name.to_string());
}

std::optional<Name> network_of_unit(std::string_view unit) {
    return name_in_unit(unit, "capsul-net-");
}

} // namespace capsul
