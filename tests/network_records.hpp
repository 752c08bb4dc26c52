// Records of networks as capsul would plan them.
#pragma once

#include "lib/network.hpp"

namespace capsul::test {

/// Of its own bridge, which is named for it; each gateway is the first address of its subnet. A family
/// without a subnet ("") is not there.
inline NetworkRecord nat_network(const std::string& name, const std::string& subnet,
                                 const std::string& subnet6 = "") {
    NetworkRecord network;
    network.name = Name::parse(name);
    network.type = NetworkType::nat;
    network.created = Timestamp::parse("2026-11-22T06:00:00Z");
    network.bridge = InterfaceName::parse("cap-" + name);
    if (!subnet.empty()) {
        network.subnet = Cidr::parse(subnet);
        network.gateway = IpRange::hosts_of(*network.subnet).first();
    }
    if (!subnet6.empty()) {
        network.subnet6 = Cidr::parse(subnet6);
        network.gateway6 = IpRange::hosts_of(*network.subnet6).first();
    }
    return network;
}

/// Of the administrator's bridge, without a subnet.
inline NetworkRecord bridge_network(const std::string& name, const std::string& bridge) {
    NetworkRecord network;
    network.name = Name::parse(name);
    network.type = NetworkType::bridge;
    network.created = Timestamp::parse("2026-11-22T06:00:00Z");
    network.bridge = InterfaceName::parse(bridge);
    return network;
}

/// As the host host_a has it, without keys.
inline NetworkRecord vpn_network(const std::string& name, const std::string& subnet,
                                 const std::string& subnet6, const std::string& slice) {
    NetworkRecord network = nat_network(name, subnet, subnet6);
    network.type = NetworkType::vpn;
    network.gateway.reset();
    network.gateway6.reset();
    network.dhcp_tap = InterfaceName::parse("cap-" + name + "-dhcp");
    network.vpn.emplace();
    network.vpn->id = Uuid::parse("0c7e2f10-5f0b-4e6c-8d7f-2b9f3e1d5a77");
    network.vpn->node = NodeName::parse("host_a");
    network.vpn->mtu = 1400;
    network.vpn->slice = Cidr::parse(slice);
    return network;
}

} // namespace capsul::test
