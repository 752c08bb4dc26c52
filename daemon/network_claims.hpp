// What networks and VMs, and the host itself, have taken of the host's names and addresses.
#pragma once

#include "daemon/store.hpp"
#include "lib/cidr.hpp"

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace capsul {

/// The names of interfaces that are taken, in use or promised.
[[nodiscard]] std::set<std::string> taken_interfaces(Store& store);

/// Subnets, and by what each is taken.
[[nodiscard]] std::vector<std::pair<Cidr, std::string>> taken_subnets(Store& store);

} // namespace capsul
