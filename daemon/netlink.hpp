// The kernel's interfaces, addresses and routes, looked at over rtnetlink(7). Changes nothing and needs no
// privilege.
#pragma once

#include "lib/network.hpp"

#include <optional>
#include <string>
#include <vector>

namespace capsul {

/// A network interface of this host.
struct Link {
    int index = 0;
    std::string name;
    std::string kind;      ///< "bridge", "tun", "veth" …; empty for hardware
    std::string alias;     ///< set by whoever made it
    int master = 0;        ///< index of the bridge that it is a port of; 0: none
    bool locked = false;   ///< as a bridge's port: only the addresses set by hand may send
    bool isolated = false; ///< as a bridge's port: does not reach other isolated ports
    LinkCounters counters; ///< as the host sees it (IFLA_STATS64)
};

/// Throws Error (internal) when the kernel does not answer.
[[nodiscard]] std::vector<Link> all_links();
/// Nothing when there is none of that name.
[[nodiscard]] std::optional<Link> find_link(const std::string& name);

/// Every address that this host has, on whatever interface: it answers for all of them on each.
[[nodiscard]] std::vector<IpAddress> host_addresses();

/// A route of the main table that is not the default route.
struct HostRoute {
    Cidr destination;
    int link = 0; ///< index of the interface it leads to; 0: none
};

/// IPv4 and IPv6, without link-local and multicast. Throws Error (internal).
[[nodiscard]] std::vector<HostRoute> host_routes();

} // namespace capsul
