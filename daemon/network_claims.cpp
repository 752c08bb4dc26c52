#include "daemon/network_claims.hpp"

#include "daemon/netlink.hpp"
#include "daemon/network_view.hpp"

namespace capsul {

std::set<std::string> taken_interfaces(Store& store) {
    std::set<std::string> names;
    for (const Link& link : all_links()) {
        names.insert(link.name);
    }
    for (const auto& network : store.networks.list()) {
        if (network.record) {
            names.insert(network.record->bridge.to_string());
            if (network.record->dhcp_tap) {
                names.insert(network.record->dhcp_tap->to_string());
            }
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
    for (const auto& network : store.networks.list()) {
        if (!network.record) {
            continue;
        }
        for (const auto& subnet : {network.record->subnet, network.record->subnet6}) {
            if (subnet) {
                subnets.emplace_back(*subnet, "the network " + network.name.to_string());
            }
        }
    }
    return subnets;
}

} // namespace capsul
