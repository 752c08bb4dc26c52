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

} // namespace capsul::test
