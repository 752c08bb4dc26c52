#include "daemon/network_plan.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <net/if.h>

namespace capsul {
namespace {

constexpr int nat_length = 24; ///< of a subnet that capsul chooses

std::string joined(const std::vector<Cidr>& subnets) {
    std::vector<std::string> texts;
    for (const Cidr& subnet : subnets) {
        texts.push_back(subnet.to_string());
    }
    return fmt::format("{}", fmt::join(texts, ", "));
}

/// By what a subnet is taken, in part or whole.
std::optional<std::string> occupant(const Cidr& subnet, const OccupiedNetwork& occupied) {
    for (const auto& [other, what] : occupied.subnets) {
        if (subnet.overlaps(other)) {
            return fmt::format("{}, {}", what, other.to_string());
        }
    }
    return std::nullopt;
}

} // namespace

void check_subnet(const NetworkRecord& network, const Cidr& subnet, const NetGrants& grants,
                  const OccupiedNetwork& occupied) {
    if (std::ranges::none_of(grants.subnets, [&](const Cidr& granted) { return granted.contains(subnet); })) {
        throw Error(
            ErrorCode::denied,
            about_network(network.name, fmt::format("{} is not among the subnets that are allowed: {}",
                                                    subnet.to_string(), joined(grants.subnets))),
            "an administrator allows more in /etc/capsul/net.policy (net.policy(5))");
    }
    if (const auto what = occupant(subnet, occupied)) {
        throw Error(
            ErrorCode::in_use,
            about_network(network.name, fmt::format("{} overlaps with {}", subnet.to_string(), *what)),
            "choose another with --subnet, or leave it out");
    }
}

/// From the bottom of a grant. For a VPN from its top: its subnet has to be free on its other hosts too,
/// whose nat networks have theirs from the bottom.
Cidr free_subnet(const NetworkRecord& network, int wanted_length, const NetGrants& grants,
                 const OccupiedNetwork& occupied) {
    constexpr std::uint64_t all_addresses = std::uint64_t{1} << 32U;
    const bool down = network.type == NetworkType::vpn;
    for (const Cidr& granted : grants.subnets) {
        if (granted.is_ipv6() || granted.length() == 32) { // has no room for a gateway and a VM
            continue;
        }
        const int length = std::max(granted.length(), wanted_length);
        const std::uint64_t size = std::uint64_t{1} << static_cast<unsigned>(32 - length);
        Cidr subnet = Cidr::around(down ? granted.last() : granted.first(), length);
        const Cidr end = Cidr::around(down ? granted.first() : granted.last(), length);
        while (occupant(subnet, occupied) && subnet != end) {
            subnet = Cidr::around(subnet.first().plus(down ? all_addresses - size : size), length);
        }
        if (!occupant(subnet, occupied)) {
            return subnet;
        }
    }
    throw Error(ErrorCode::in_use,
                about_network(network.name, "no subnet is free in " + joined(grants.subnets)),
                "choose one with --subnet; an administrator allows more by host-setup.sh --subnet");
}

void require_own_bridges(const NetworkRecord& network, const NetGrants& grants) {
    if (!grants.own_bridges || !grants.nat) {
        throw Error(ErrorCode::denied,
                    about_network(network.name, fmt::format("{} networks are not allowed to this user",
                                                            to_string(network.type))),
                    "an administrator allows them in /etc/capsul/net.policy (net.policy(5))");
    }
}

namespace {

constexpr const char* how_to_allow = "an administrator allows it in /etc/capsul/net.policy (net.policy(5), "
                                     "examples/host-setup.sh --guest-ips)";

/// What of `subnet` hosts may have and net.policy lets guests have.
std::optional<IpRange> usable_range(const Cidr& subnet, const Cidr& granted) {
    const IpRange hosts = IpRange::hosts_of(subnet);
    const IpAddress first = std::max(hosts.first(), granted.first());
    const IpAddress last = std::min(hosts.last(), granted.last());
    if (last < first) {
        return std::nullopt;
    }
    return IpRange::parse(first.to_string() + "-" + last.to_string());
}

std::vector<Cidr> granted_on(const InterfaceName& bridge, const NetGrants& grants) {
    std::vector<Cidr> granted;
    for (const auto& [where, addresses] : grants.addresses) {
        if (where == bridge) {
            granted.push_back(addresses);
        }
    }
    return granted;
}

/// The first that is allowed of the subnet.
IpRange choose_range(const NetworkRecord& network, const Cidr& subnet, const std::vector<Cidr>& granted) {
    for (const Cidr& addresses : granted) {
        if (addresses.overlaps(subnet)) {
            if (const auto usable = usable_range(subnet, addresses)) {
                return *usable;
            }
        }
    }
    throw Error(ErrorCode::denied,
                about_network(network.name, fmt::format("no address of {} on {} is allowed",
                                                        subnet.to_string(), network.bridge.to_string())),
                how_to_allow);
}

/// Without a range of its own, guests on an administrator's bridge get what net.policy lets them have there.
void plan_range(const NetworkRecord& network, const NetGrants& grants, const std::optional<Cidr>& subnet,
                std::optional<IpRange>& range) {
    if (!subnet) {
        return;
    }
    const std::vector<Cidr> granted = granted_on(network.bridge, grants);
    const IpRange chosen = choose_range(network, *subnet, granted);
    if (!range) {
        range = chosen;
        return;
    }
    const bool allowed = std::ranges::any_of(granted, [&](const Cidr& addresses) {
        return addresses.contains(range->first()) && addresses.contains(range->last());
    });
    if (!allowed) {
        throw Error(ErrorCode::denied,
                    about_network(network.name, fmt::format("{} is not inside what is allowed: {}",
                                                            range->to_string(), joined(granted))),
                    how_to_allow);
    }
}

/// Where somebody else gives out the addresses, guests send from any.
void require_any_address(const NetworkRecord& network, const NetGrants& grants) {
    const auto granted = granted_on(network.bridge, grants);
    if (std::ranges::find(granted, Cidr::parse("0.0.0.0/0")) == granted.end()) {
        const std::string bridge = network.bridge.to_string();
        throw Error(
            ErrorCode::denied,
            about_network(network.name, fmt::format("without a subnet its VMs need every address on {}, and "
                                                    "/etc/capsul/net.policy has no line `ip {} 0.0.0.0/0`",
                                                    bridge, bridge)),
            fmt::format("give --subnet; or an administrator allows it: examples/host-setup.sh "
                        "--bridge {} --guest-ips 0.0.0.0/0",
                        bridge));
    }
}

/// Guests of `one` and of `other`, which are on one wire, could get the same address.
void check_ranges(const NetworkRecord& network, const NetworkRecord& other, const std::optional<IpRange>& one,
                  const std::optional<IpRange>& two) {
    if (one && two && one->first() <= two->last() && two->first() <= one->last()) {
        throw Error(ErrorCode::in_use,
                    about_network(network.name,
                                  fmt::format("{} overlaps with {} of the network {}, which is on {} too",
                                              one->to_string(), two->to_string(), other.name.to_string(),
                                              other.bridge.to_string())),
                    "give each its own part with --range");
    }
}

void check_subnets(const NetworkRecord& network, const NetworkRecord& other, const std::optional<Cidr>& one,
                   const std::optional<Cidr>& two) {
    if (one && two && one->overlaps(*two)) {
        throw Error(
            ErrorCode::in_use,
            about_network(network.name, fmt::format("{} overlaps with the network {}, {}", one->to_string(),
                                                    other.name.to_string(), two->to_string())),
            "choose another with --subnet");
    }
}

void check_others(const NetworkRecord& network, const std::vector<NetworkRecord>& others) {
    for (const NetworkRecord& other : others) {
        if (other.type != NetworkType::bridge) {
            check_subnets(network, other, network.subnet, other.subnet);
            check_subnets(network, other, network.subnet6, other.subnet6);
        } else if (other.bridge == network.bridge) {
            check_ranges(network, other, network.range, other.range);
            check_ranges(network, other, network.range6, other.range6);
        }
    }
}

} // namespace

namespace {

void refuse_for_vpn(const NetworkCreate& call) {
    const auto refuse = [](const char* field, const char* hint) {
        throw Error(ErrorCode::invalid, fmt::format("{}: is not of vpn networks", field), hint);
    };
    const char* follows = "of a VPN these follow from its subnet and this host's slice (--slice)";
    if (call.gateway || call.gateway6) {
        refuse(call.gateway ? "gateway" : "gateway6", follows);
    }
    if (call.range || call.range6) {
        refuse(call.range ? "range" : "range6", follows);
    }
    if (call.isolate) {
        refuse("isolate", "the VMs of a VPN are on one segment, on all of its hosts");
    }
    if (!call.dns.empty()) {
        refuse("dns", vpn_dns_hint);
    }
}

} // namespace

NetworkRecord network_record(const NetworkCreate& call) {
    const bool is_bridge = call.type == NetworkType::bridge;
    if (is_bridge != call.bridge.has_value()) {
        throw Error(ErrorCode::invalid, is_bridge
                                            ? "bridge: a network of type bridge needs the bridge's name"
                                            : "bridge: the network has a bridge of its own; leave it out");
    }
    if (call.type != NetworkType::nat && call.egress) {
        throw Error(ErrorCode::invalid, "egress: is of nat networks only");
    }
    if (call.type == NetworkType::vpn) {
        refuse_for_vpn(call);
    } else if (call.vpn) {
        throw Error(ErrorCode::invalid, "vpn: is of vpn networks only");
    }
    NetworkRecord network;
    network.name = call.name;
    network.type = call.type;
    network.created = Timestamp::now();
    network.bridge = call.bridge.value_or(InterfaceName());
    network.subnet = call.subnet;
    network.subnet6 = call.subnet6;
    network.gateway = call.gateway;
    network.gateway6 = call.gateway6;
    network.range = call.range;
    network.range6 = call.range6;
    network.dns = call.dns;
    network.isolate = call.isolate;
    network.egress = call.egress.value_or(Egress());
    network.autostart = call.autostart;
    network.dhcp = call.dhcp;
    return network;
}

void plan_bridge(NetworkRecord& network, const NetGrants& grants, const std::optional<Link>& bridge,
                 const std::vector<NetworkRecord>& others) {
    const std::string name = network.bridge.to_string();
    if (!bridge || bridge->kind != "bridge") {
        throw Error(ErrorCode::not_found,
                    about_network(network.name,
                                  bridge ? name + " is not a bridge" : "bridge " + name + " does not exist"),
                    "`ip -brief link show type bridge` shows those there are");
    }
    if (std::ranges::find(grants.bridges, network.bridge) == grants.bridges.end()) {
        throw Error(ErrorCode::denied, about_network(network.name, "VMs may not be plugged into " + name),
                    "an administrator allows it in /etc/capsul/net.policy (net.policy(5))");
    }
    if (!network.subnet && !network.subnet6) {
        require_any_address(network, grants);
    }
    plan_range(network, grants, network.subnet, network.range);
    plan_range(network, grants, network.subnet6, network.range6);
    check_others(network, others);
}

void require_allowed(const NetworkRecord& network, const NetGrants& grants, const IpAddress& ip) {
    const auto granted = granted_on(network.bridge, grants);
    if (std::ranges::none_of(granted, [&](const Cidr& addresses) { return addresses.contains(ip); })) {
        throw Error(ErrorCode::denied,
                    about_network(network.name,
                                  fmt::format("{} is not among the addresses that are allowed on {}: {}",
                                              ip.to_string(), network.bridge.to_string(),
                                              granted.empty() ? "none" : joined(granted))),
                    how_to_allow);
    }
}

void plan_nat(NetworkRecord& network, const NetGrants& grants, const OccupiedNetwork& occupied) {
    require_own_bridges(network, grants);
    if (!network.subnet) {
        network.subnet = free_subnet(network, nat_length, grants, occupied);
    } else {
        check_subnet(network, *network.subnet, grants, occupied);
    }
    if (network.subnet6) {
        check_subnet(network, *network.subnet6, grants, occupied);
    }
    network.gateway = network.gateway.value_or(IpRange::hosts_of(*network.subnet).first());
    if (network.subnet6 && !network.gateway6) {
        network.gateway6 = IpRange::hosts_of(*network.subnet6).first();
    }
    network.bridge = interface_name(grants.prefix, network.name.to_string(), occupied.interfaces);
}

InterfaceName interface_name(const std::string& prefix, const std::string& id,
                             const std::set<std::string>& taken) {
    const std::string readable = prefix + id;
    if (readable.size() < IFNAMSIZ && !taken.contains(readable)) {
        return InterfaceName::parse(readable);
    }
    const std::size_t room = IFNAMSIZ - 1 - prefix.size();
    std::size_t number = std::hash<std::string>{}(id);
    while (true) {
        const std::string name =
            prefix + fmt::format("{:x}", number).substr(0, std::min<std::size_t>(room, 8));
        if (!taken.contains(name)) {
            return InterfaceName::parse(name);
        }
        number = number * 31 + 7;
    }
}

} // namespace capsul
