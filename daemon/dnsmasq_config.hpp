// What dnsmasq (dnsmasq(8)) reads: whom it serves, and with what. Pure.
#pragma once

#include "lib/network.hpp"

#include <string>
#include <vector>

namespace capsul {

/// A NIC that is told its addresses by DHCP.
struct DhcpHost {
    Mac mac;
    std::optional<IpAddress> ip;
    std::optional<IpAddress> ip6;
    Name vm;
};

/// The sealed configuration of a nat network's dnsmasq; `dns` is what guests are told of.
[[nodiscard]] std::string dnsmasq_config(const NetworkRecord& network, const std::vector<IpAddress>& dns);

/// The same for a vpn network's, which answers for its names, and does DHCP where that is switched on.
[[nodiscard]] std::string resolver_config(const NetworkRecord& network);

/// Its --dhcp-hostsfile, which it reads again on SIGHUP. A NIC without an address is left out.
[[nodiscard]] std::string dnsmasq_hosts(const std::vector<DhcpHost>& hosts);

} // namespace capsul
