// What networks and VMs, and the host itself, have taken of the host's names and addresses.
#pragma once

#include "daemon/ipam.hpp"
#include "daemon/store.hpp"
#include "lib/cidr.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace capsul {

/// The names of interfaces that are taken, in use or promised.
[[nodiscard]] std::set<std::string> taken_interfaces(Store& store);

/// The networks whose record can be read.
[[nodiscard]] std::vector<NetworkRecord> known_networks(Store& store);

/// The networks on `bridge`: their VMs are on one wire.
[[nodiscard]] std::set<Name> networks_on(Store& store, const InterfaceName& bridge);

/// The addresses on the wire of `network` that the host has, and those that other networks on it have for
/// gateways or keep for VMs. Those of NICs are not in it.
[[nodiscard]] TakenAddresses taken_addresses(Store& store, const NetworkRecord& network);

/// Subnets, and by what each is taken.
[[nodiscard]] std::vector<std::pair<Cidr, std::string>> taken_subnets(Store& store);

} // namespace capsul
