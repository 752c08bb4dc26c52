// Which addresses of a network are free, and which a VM gets. Pure.
#pragma once

#include "lib/network.hpp"

#include <map>
#include <optional>

namespace capsul {

/// Addresses in use, and by which VM.
using TakenAddresses = std::map<IpAddress, Name>;

/// The address that `vm` gets: one kept for it, else the first that is free in the network's range. Nothing
/// when the network has no subnet of that family. Throws Error (in_use) when none is free.
[[nodiscard]] std::optional<IpAddress> pick_address(const NetworkRecord& network, bool ipv6, const Name& vm,
                                                    const TakenAddresses& taken);

/// Refuses an address that `vm` may not have: invalid (outside the subnet, its first or last, the gateway),
/// in_use (another VM's, or kept for one).
void check_address(const NetworkRecord& network, const IpAddress& ip, const Name& vm,
                   const TakenAddresses& taken);

/// Refuses subnets, gateways and ranges that do not go together (invalid).
void check_addressing(const NetworkRecord& network);

} // namespace capsul
