// The name servers that this host uses.
#pragma once

#include "lib/cidr.hpp"
#include "lib/network.hpp"

#include <string_view>
#include <vector>

namespace capsul {

/// The servers in a resolv.conf(5) that guests can reach too: not those on a loopback address. Pure.
[[nodiscard]] std::vector<IpAddress> parse_name_servers(std::string_view resolv_conf);

/// Those of /etc/resolv.conf; where that names a local stub only, those behind systemd-resolved. Empty when
/// there are none.
[[nodiscard]] std::vector<IpAddress> host_dns();

/// What guests of a network are told of: the servers that it names, else those of this host.
[[nodiscard]] std::vector<IpAddress> guest_dns(const NetworkRecord& network);

} // namespace capsul
