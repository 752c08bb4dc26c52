// A VPN of three hosts, as capsul would have planned it.
#pragma once

#include "lib/vpn.hpp"
#include "tests/network_records.hpp"

namespace capsul::test::lab {

/// Of 4096 bits; nobody has the private one.
inline constexpr const char* rsa_key =
    "MIICCgKCAgEAnqa+tWJp5MGH43T2mZ02542UJ35DSv25XDRdeb76gj+hEpRkDS7Ev02V9Uh4pEav05nrz0R4iinSaiySuDbG"
    "4hr1sg1lN3uhBTsueeRc0Vx0lv39nXDWelfNPF5eeP5c197DRWVVz8JQS8xQpzuDTQ3DpSF35aHXdRB6+w9JBwjKuswD9Ji/"
    "VToZiJupawE2DizoVlD7vV+7wlns86ksPJjvsuiFk38/p2I8djDOt0YrPOHir2hu3+iW0JxuNX5mHl64Fi2Phjkq/EGsCWVq"
    "NQukpBX6AcebhKgnAODrAUaOd0Cn6biVTpein9Z5tRsFlWz9MeeXBJfH6JrxnnywHNRgJ/IkE+OW+h606qbvm/7JvtaWidj4"
    "tm3Oj37emS8PAnrlgfQFwsIYZKSCEP+ZTDWaEZElUdovYA0AwZsBv9Tf05U7/v9N/MfY8zuGKCWkTiYPh6mlZZNOrDAAy+nQ"
    "5HPPOhJ37KMWJ7mZXoSGAIpDTQYlGraP5qBb89/AaoM0CIPT5RWZ7Z0Ps74rhWCrzDRzz7Sx79/+evaltaGwyUC7G8MIjcCK"
    "Nb25d4+EphzNvDaaysZC4NPdNZZYzxbQBgYMttT109mtv58TesjYjxOpw+xgJfuTVOOTQDm+8OYXG+yMpqooi0aVufL55u8e"
    "P8IeprredkbC46FvXjVy+3kCAwEAAQ==";
/// Of 2048.
inline constexpr const char* weak_rsa_key =
    "MIIBCgKCAQEA7zi75fJpqLqyeEGswGfFdj9NjHZpeevbQINk0jJbNOQxrqcZEJkdEfxy+VFlIH/pydttVWbN8iDpx+DSrBRj"
    "ujCQzMk6rFABM/JWTjN2o3msfRHWy8vi8JnCPpPDC1AFkPolUv7Fh9u6ZOA3Thkl8wbEMhHLIrZPUOGL2jCdKJDj9zgDYnpB"
    "URcdyl7RKBzQrKdkKlfN3guIUP/gKmZ+pA/RbbPrlVNbKW+/JWp3gPRoRPcLbAxjGyZOqpofiQ5HFxtpFcV2Xl0hILI+zeH8"
    "56T6M55PG8bv/kMq137VX7qKbWM+rDh0wJAkzTY4kFGyEre5Gw4KIxin59ECdOMHSwIDAQAB";

inline constexpr const char* vpn_id = "6d0a1c9e-8f4b-4f6f-9a55-1f2e3d4c5b6a";

/// Of host a, which has the first slice of 10.90.0.0/20.
inline NetworkRecord vpn_network(const Identity& identity) {
    NetworkRecord network;
    network.name = Name::parse("lab");
    network.type = NetworkType::vpn;
    network.created = Timestamp::parse("2026-11-27T06:00:00Z");
    network.bridge = InterfaceName::parse("cap-lab");
    network.subnet = Cidr::parse("10.90.0.0/20");
    network.subnet6 = Cidr::parse("fd90::/64");
    network.range = IpRange::parse("10.90.0.3-10.90.0.62");
    network.dhcp_tap = InterfaceName::parse("cap-lab-dns");
    network.vpn = VpnRecord();
    network.vpn->id = Uuid::parse(vpn_id);
    network.vpn->node = NodeName::parse("a");
    network.vpn->identity = identity;
    network.vpn->key = RsaPublicKey::parse(rsa_key);
    network.vpn->addresses = {VpnAddress::parse("192.0.2.1:11655")};
    network.vpn->port = 11655;
    network.vpn->mtu = 1380;
    network.vpn->slice = Cidr::parse("10.90.0.0/26");
    network.vpn->trunk = InterfaceName::parse("cap-lab-vpn");
    return network;
}

/// What another host says of itself.
inline VpnNode vpn_node(const std::string& name, const std::string& slice, const Identity& identity) {
    VpnNode node;
    node.name = NodeName::parse(name);
    node.network = Uuid::parse(vpn_id);
    node.version = 1;
    node.identity = identity;
    node.key = RsaPublicKey::parse(rsa_key);
    node.addresses = {VpnAddress::parse("192.0.2.2:11655"), VpnAddress::parse("[2001:db8::2]:11656")};
    node.slice = Cidr::parse(slice);
    return node;
}

inline VpnBundle vpn_bundle(std::vector<VpnStatement> nodes) {
    return {1,
            Name::parse("lab"),
            Uuid::parse(vpn_id),
            Cidr::parse("10.90.0.0/20"),
            Cidr::parse("fd90::/64"),
            1380,
            {},
            std::move(nodes),
            {}};
}

} // namespace capsul::test::lab
