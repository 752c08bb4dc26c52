// The names of a VPN: VM.NETWORK.capsul and HOST.NETWORK.capsul, as dnsmasq reads them. Pure.
#pragma once

#include "lib/vpn.hpp"

#include <string>
#include <vector>

namespace capsul {

/// A host of a VPN and its VMs.
struct NamedHost {
    NodeName node;
    IpAddress ip; ///< on its bridge
    std::optional<IpAddress> ip6;
    std::vector<VpnGuest> guests;
};

/// The domain that a network's names are in: NETWORK.capsul.
[[nodiscard]] std::string vpn_domain(const Name& network);

/// A host's name in it: NODE.NETWORK.capsul, where a "_" of its name, which no name in DNS has, is a "-".
[[nodiscard]] std::string vpn_host_name(const NodeName& node, const Name& network);

/// A file in the form of hosts(5), sorted by name; a VM without address is left out. Of two that are called
/// the same the first has the name, in this order: this host, its VMs, other hosts in the order of their
/// names, their VMs. So nobody elsewhere can take a name away from here.
[[nodiscard]] std::string vpn_hosts_file(const Name& network, const NamedHost& own,
                                         const std::vector<NamedHost>& others);

} // namespace capsul
