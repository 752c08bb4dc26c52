#include "daemon/vpn_plan.hpp"

#include "lib/error.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

constexpr int vpn_length = 20;          ///< of a subnet that capsul chooses: 64 hosts, 60 VMs at each
constexpr int smallest_subnet = 28;     ///< two slices of eight addresses
constexpr int prefix_of_eui64 = 64;     ///< RFC 4291 2.5.1
constexpr int usual_mtu = 1380;         ///< fits into tinc's packets where the path takes 1500, over IPv6 too
constexpr int least_mtu = 576;          ///< RFC 791
constexpr int least_mtu_of_ipv6 = 1280; ///< RFC 8200, 5
constexpr int most_mtu = 1500;

void check_subnets(const NetworkRecord& network) {
    if (network.subnet->is_ipv6() || network.subnet->length() > smallest_subnet) {
        throw Error(ErrorCode::invalid,
                    fmt::format("subnet: {} has no room for the slices of two hosts; an IPv4 subnet of /{} "
                                "or larger has",
                                network.subnet->to_string(), smallest_subnet));
    }
    if (network.subnet6 && (!network.subnet6->is_ipv6() || network.subnet6->length() != prefix_of_eui64)) {
        throw Error(ErrorCode::invalid,
                    fmt::format("subnet6: a vpn needs an IPv6 /64, not {}", network.subnet6->to_string()));
    }
}

void check_mtu(const NetworkRecord& network) {
    const int least = network.subnet6 ? least_mtu_of_ipv6 : least_mtu;
    if (network.vpn->mtu < least || network.vpn->mtu > most_mtu) {
        throw Error(ErrorCode::invalid,
                    fmt::format("mtu: {} is not between {} and {}", network.vpn->mtu, least, most_mtu));
    }
}

void name_interfaces(NetworkRecord& network, const NetGrants& grants, const OccupiedNetwork& occupied) {
    std::set<std::string> taken = occupied.interfaces;
    const std::string& name = network.name.to_string();
    network.bridge = interface_name(grants.prefix, name, taken);
    taken.insert(network.bridge.to_string());
    network.vpn->trunk = interface_name(grants.prefix, name + "-vpn", taken);
    taken.insert(network.vpn->trunk.to_string());
    network.dhcp_tap = interface_name(grants.prefix, name + "-dns", taken);
}

/// Of a network that has its subnets.
void set_host(NetworkRecord& network, const VpnWishes& wishes, const VpnHost& host) {
    network.vpn->node = wishes.node.value_or(host.node);
    network.vpn->port = host.port;
    network.vpn->addresses = addresses_of(network, wishes.addresses);
}

} // namespace

std::vector<VpnAddress> addresses_of(const NetworkRecord& network,
                                     const std::vector<VpnAddressWish>& wishes) {
    if (wishes.size() > most_vpn_addresses) {
        throw Error(ErrorCode::invalid, fmt::format("address: at most {} of one host", most_vpn_addresses));
    }
    std::vector<VpnAddress> addresses;
    for (const VpnAddressWish& wish : wishes) {
        addresses.push_back(wish.with_default(network.vpn->port));
        if (const auto problem = address_problem(addresses.back(), *network.subnet, network.subnet6)) {
            throw Error(ErrorCode::invalid, "address: " + *problem,
                        "give the one at which the other hosts reach this host");
        }
    }
    return addresses;
}

void set_slice(NetworkRecord& network, const Cidr& slice) {
    network.vpn->slice = slice;
    network.range = IpRange::parse(fmt::format("{}-{}", vpn_resolver_ip(slice).plus(1).to_string(),
                                               IpRange::hosts_of(slice).last().to_string()));
}

void plan_vpn(NetworkRecord& network, const VpnWishes& wishes, const VpnHost& host, const NetGrants& grants,
              const OccupiedNetwork& occupied) {
    require_own_bridges(network, grants);
    network.vpn = VpnRecord();
    network.vpn->id = Uuid::make();
    network.vpn->mtu = wishes.mtu.value_or(usual_mtu);
    if (!network.subnet) {
        network.subnet = free_subnet(network, vpn_length, grants, occupied);
    }
    check_subnets(network);
    set_host(network, wishes, host);
    check_mtu(network);
    check_subnet(network, *network.subnet, grants, occupied);
    if (network.subnet6) {
        check_subnet(network, *network.subnet6, grants, occupied);
    }
    const Cidr slice =
        wishes.slice.value_or(Cidr::around(network.subnet->first(), vpn_slice_length(*network.subnet)));
    check_slice(network, {}, slice);
    set_slice(network, slice);
    name_interfaces(network, grants, occupied);
}

NetworkRecord joined_vpn(const NetworkJoin& call, const VpnHost& host, const NetGrants& grants,
                         const OccupiedNetwork& occupied) {
    const VpnBundle& bundle = call.bundle;
    NetworkRecord network;
    network.name = call.name.value_or(bundle.network);
    network.type = NetworkType::vpn;
    network.created = Timestamp::now();
    network.subnet = bundle.subnet;
    network.subnet6 = bundle.subnet6;
    network.autostart = call.autostart;
    require_own_bridges(network, grants);
    network.vpn = VpnRecord();
    network.vpn->id = bundle.id;
    network.vpn->mtu = bundle.mtu;
    network.vpn->revoked = bundle.revoked;
    set_host(network, call.vpn, host);
    check_subnets(network);
    check_mtu(network);
    check_subnet(network, *network.subnet, grants, occupied);
    if (network.subnet6) {
        check_subnet(network, *network.subnet6, grants, occupied);
    }
    if (bundle.nodes.size() >= most_vpn_nodes) {
        throw Error(
            ErrorCode::in_use,
            about_network(network.name, fmt::format("has {} hosts, and no room for more", most_vpn_nodes)));
    }
    const VpnBook book{bundle.nodes, bundle.revoked};
    for (const VpnStatement& peer : bundle.nodes) {
        if (peer.node.name == network.vpn->node) {
            throw Error(ErrorCode::in_use,
                        about_network(network.name, fmt::format("a host named {} is in it already",
                                                                peer.node.name.to_string())),
                        "choose another name for this host with --node");
        }
    }
    const auto wanted = call.vpn.slice ? call.vpn.slice : bundle.slice;
    if (wanted) {
        check_slice(network, book, *wanted);
    }
    set_slice(network, wanted ? *wanted : free_slice(network, book));
    name_interfaces(network, grants, occupied);
    return network;
}

} // namespace capsul
