#include "daemon/vpn_names.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>

namespace capsul {
namespace {

struct Addresses {
    std::optional<IpAddress> ip;
    std::optional<IpAddress> ip6;
};

using Names = std::map<std::string, Addresses>;

void add_guests(Names& names, const Name& network, const NamedHost& host) {
    for (const VpnGuest& guest : host.guests) {
        if (guest.ip || guest.ip6) {
            names.emplace(guest.name.to_string() + "." + vpn_domain(network), Addresses{guest.ip, guest.ip6});
        }
    }
}

void add_host(Names& names, const Name& network, const NamedHost& host) {
    names.emplace(vpn_host_name(host.node, network), Addresses{host.ip, host.ip6});
}

std::string lines_of(const Names& names) {
    std::string text;
    for (const auto& [name, addresses] : names) {
        for (const auto& address : {addresses.ip, addresses.ip6}) {
            text += address ? fmt::format("{} {}\n", address->to_string(), name) : "";
        }
    }
    return text;
}

} // namespace

std::string vpn_domain(const Name& network) {
    return network.to_string() + ".capsul";
}

std::string vpn_host_name(const NodeName& node, const Name& network) {
    std::string label = node.to_string();
    std::ranges::replace(label, '_', '-');
    return label + "." + vpn_domain(network);
}

std::string vpn_hosts_file(const Name& network, const NamedHost& own, const std::vector<NamedHost>& others) {
    std::vector<NamedHost> sorted = others;
    std::ranges::sort(sorted, {}, &NamedHost::node);
    Names names;
    add_host(names, network, own);
    add_guests(names, network, own);
    for (const NamedHost& host : sorted) {
        add_host(names, network, host);
    }
    for (const NamedHost& host : sorted) {
        add_guests(names, network, host);
    }
    return "# Written anew by capsul whenever a VM comes or goes, here or elsewhere.\n" + lines_of(names);
}

} // namespace capsul
