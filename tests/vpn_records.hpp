// Hosts of a VPN, what they tell, and a vpn network as capsul would show it.
#pragma once

#include "lib/network.hpp"

#include <string>
#include <vector>

namespace capsul::test {

/// A real one, whose other half nobody has: to make one takes a second.
inline RsaPublicKey rsa_public_key() {
    return RsaPublicKey::parse(
        "MIICCgKCAgEAvQ5e3Yylpmww1Ff9Ib1nJLTCVdeX3++NpVmdSEkhomg4/WhKFYBfrZlkaBs85zIqLjL7O81ijP4kUx/EIIIm"
        "ABSqRXVqyJAp0zcfX1FmKng4UbvORJgKwE8RbCQDhP9rSNlZg6GWVdjDeegxZmElldUsKgaONgXCgkZCcKKGlv8it8r1EZIB"
        "9xhyUYxO6C0d2ByuU+mOHkgTZCilSeblCITmXglwlflibaF/wt6hctmzi01z+FWTYtuemd5L12Hi7eH++C1W5c+WPYSccNGS"
        "qrJ/vihnMxP9fsORRBRRHchJPzyy4ysTNLjkkIcxJU1aVd6/xytgblPOjyNAWhW7ie6oYQ3cR+CyLP6TmeLI4zwfrNqFvxUK"
        "VpHu8gisBDs/YSDBpqYh0lv1p8LZ9irGZZSGYNhfHLeOZ4iI6Bc8LcSQpz+1VWd53LXFUxVNf3ahCxagznweGrfamkz+V7SW"
        "RemCitwP9sUTTqLKHXH0TzzaDnxX4hc7+nBhtIQa0kJRNHN2WgTKFv6ZUPZcc9VGjApAMGFTykWkplazw/wGC2cF/xurEFJo"
        "xqgO2W0O1rMV7xf1zPWdL7MOg3wTMgxJr1Zs8q+hC7wU412qpunRnWABq2R3icguZQhhVNqrTPcjDC+XQQpbYVfluVF6HzeI"
        "aJOWm8t1ThnwH9sRluCKHRsCAwEAAQ==");
}

/// What hosts of these names tell, signed by each; the first is whose bundle it is. Each has a /22 of
/// 10.90.0.0/16, and none is kept.
inline VpnBundle vpn_bundle(const std::vector<std::string>& names) {
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
        node.key = rsa_public_key();
        node.addresses = {VpnAddress::parse(name == "host_a" ? "192.0.2.1:11655" : "192.0.2.2:11655")};
        node.slice = Cidr::parse("10.90." + std::to_string(4 * bundle.nodes.size()) + ".0/22");
        bundle.nodes.push_back(VpnStatement::make(node, identity));
    }
    return bundle;
}

/// The network of the first of these hosts; the others are reached, and have no VM.
inline Network vpn_network(const std::vector<std::string>& names) {
    const VpnBundle bundle = vpn_bundle(names);
    const VpnNode& own = bundle.nodes.front().node;
    NetworkRecord record;
    record.name = bundle.network;
    record.type = NetworkType::vpn;
    record.created = Timestamp::parse("2026-11-22T06:00:00Z");
    record.bridge = InterfaceName::parse("cap-mesh");
    record.subnet = bundle.subnet;
    record.subnet6 = bundle.subnet6;
    record.vpn = VpnRecord{bundle.id,
                           own.name,
                           own.identity,
                           own.key,
                           own.addresses,
                           11655,
                           bundle.mtu,
                           own.slice,
                           InterfaceName::parse("capt-mesh"),
                           {},
                           {},
                           {}};
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
