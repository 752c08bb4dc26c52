#include "daemon/network_claims.hpp"

#include "daemon/netlink.hpp"
#include "daemon/network_view.hpp"

#include <fmt/format.h>

namespace capsul {

std::vector<NetworkRecord> known_networks(Store& store) {
    std::vector<NetworkRecord> networks;
    for (const auto& network : store.networks.list()) {
        if (network.record) {
            networks.push_back(*network.record);
        }
    }
    return networks;
}

std::set<Name> networks_on(Store& store, const InterfaceName& bridge) {
    std::set<Name> names;
    for (const NetworkRecord& network : known_networks(store)) {
        if (network.bridge == bridge) {
            names.insert(network.name);
        }
    }
    return names;
}

TakenAddresses taken_addresses(Store& store, const NetworkRecord& network) {
    TakenAddresses taken;
    for (const IpAddress& ip : host_addresses()) {
        taken.emplace(ip, Holder("is this host's own"));
    }
    if (network.vpn) {
        taken.emplace(vpn_host_ip(network.vpn->slice), Holder("is this host's own"));
        taken.emplace(vpn_resolver_ip(network.vpn->slice), Holder("is where names are resolved"));
    }
    for (const NetworkRecord& other : known_networks(store)) {
        if (other.name == network.name || other.bridge != network.bridge) {
            continue;
        }
        for (const auto& gateway : {other.gateway, other.gateway6}) {
            if (gateway) {
                taken.emplace(*gateway, Holder("is the gateway of the network " + other.name.to_string()));
            }
        }
        for (const Reservation& kept : other.reservations) {
            taken.emplace(kept.ip, Holder(fmt::format("is kept for the VM {} on the network {}",
                                                      kept.vm.to_string(), other.name.to_string())));
        }
    }
    return taken;
}

std::set<std::string> taken_interfaces(Store& store) {
    std::set<std::string> names;
    for (const Link& link : all_links()) {
        names.insert(link.name);
    }
    for (const NetworkRecord& network : known_networks(store)) {
        names.insert(network.bridge.to_string());
        if (network.dhcp_tap) {
            names.insert(network.dhcp_tap->to_string());
        }
        if (network.vpn) {
            names.insert(network.vpn->trunk.to_string());
        }
    }
    for (const auto& [vm, nic] : plugged_nics(store)) {
        if (nic.tap) {
            names.insert(nic.tap->to_string());
        }
    }
    return names;
}

std::vector<std::pair<Cidr, std::string>> taken_subnets(Store& store) {
    std::vector<std::pair<Cidr, std::string>> subnets;
    for (const HostRoute& route : host_routes()) {
        subnets.emplace_back(route.destination, "a route of this host");
    }
    for (const NetworkRecord& network : known_networks(store)) {
        for (const auto& subnet : {network.subnet, network.subnet6}) {
            if (subnet) {
                subnets.emplace_back(*subnet, "the network " + network.name.to_string());
            }
        }
    }
    return subnets;
}

} // namespace capsul
