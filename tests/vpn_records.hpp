// What hosts of a VPN tell, and a vpn network as capsul would show it.
#pragma once

#include "lib/network.hpp"
#include "tests/vpn_hosts.hpp"

#include <string>
#include <vector>

namespace capsul::test {

/// What hosts of these names tell, signed by each; the first is whose bundle it is. Each has a /22 of
/// 10.90.0.0/16, and none is kept.
inline VpnBundle bundle_of(const std::vector<std::string>& names) {
    VpnBundle bundle;
    bundle.network = Name::parse("mesh");
    bundle.id = Uuid::parse("9f8b5c1e-3a52-4d4f-8f0e-2b6f1c7d9e01");
    bundle.subnet = Cidr::parse("10.90.0.0/16");
    bundle.subnet6 = Cidr::parse("fd90:1::/64");
    bundle.mtu = 1400;
    for (const std::string& name : names) {
        const PrivateIdentity identity = PrivateIdentity::generate();
        VpnNode node;
        node.name = NodeName::parse(name);
        node.network = bundle.id;
        node.version = 1;
        node.identity = identity.identity();
        node.key = RsaPublicKey::parse(tinc_key);
        node.addresses = {VpnAddress::parse(name == "host_a" ? "192.0.2.1:11655" : "192.0.2.2:11655")};
        node.slice = Cidr::parse("10.90." + std::to_string(4 * bundle.nodes.size()) + ".0/22");
        bundle.nodes.push_back(VpnStatement::make(node, identity));
    }
    return bundle;
}

/// The network of the first of these hosts; the others are reached, and have no VM.
inline Network vpn_shown(const std::vector<std::string>& names) {
    const VpnBundle bundle = bundle_of(names);
    const VpnNode& own = bundle.nodes.front().node;
    NetworkRecord record;
    record.name = bundle.network;
    record.type = NetworkType::vpn;
    record.created = Timestamp::parse("2026-11-22T06:00:00Z");
    record.bridge = InterfaceName::parse("cap-mesh");
    record.subnet = bundle.subnet;
    record.subnet6 = bundle.subnet6;
    record.vpn = VpnRecord();
    record.vpn->id = bundle.id;
    record.vpn->node = own.name;
    record.vpn->identity = own.identity;
    record.vpn->key = own.key;
    record.vpn->addresses = own.addresses;
    record.vpn->port = 11655;
    record.vpn->mtu = bundle.mtu;
    record.vpn->slice = own.slice;
    record.vpn->trunk = InterfaceName::parse("cap-mesh-vpn");
    VpnStatus status;
    status.tunnel = NetworkState::running;
    status.ip = vpn_host_ip(own.slice);
    status.resolver = vpn_resolver_ip(own.slice);
    for (std::size_t i = 1; i < bundle.nodes.size(); ++i) {
        const VpnNode& node = bundle.nodes[i].node;
        status.peers.push_back({node.name,
                                node.addresses,
                                node.slice,
                                vpn_host_ip(node.slice),
                                {},
                                node.identity,
                                0,
                                true,
                                Timestamp::parse("2026-11-22T06:01:00Z"),
                                {}});
    }
    Network network;
    network.name = record.name;
    network.state = NetworkState::running;
    network.unit = network_unit_name(record.name);
    network.vpn = status;
    network.spec = record;
    return network;
}

} // namespace capsul::test
