// What a new vpn network will be, made here or joined. Pure.
#pragma once

#include "daemon/network_plan.hpp"
#include "daemon/vpn_book.hpp"
#include "lib/vpn_calls.hpp"

#include <cstdint>

namespace capsul {

/// What this host has for VPNs.
struct VpnHost {
    NodeName node;          ///< its name, unless another is asked for
    std::uint16_t port = 0; ///< for tincd: the one asked for, or a free one
};

/// Completes a vpn network that is made here: subnet, slice, interfaces; all but its keys. Throws Error:
/// denied, in_use, invalid.
void plan_vpn(NetworkRecord& network, const VpnWishes& wishes, const VpnHost& host, const NetGrants& grants,
              const OccupiedNetwork& occupied);

/// The record of the network that `call.bundle`, which has been checked, is about. Throws Error likewise.
[[nodiscard]] NetworkRecord joined_vpn(const NetworkJoin& call, const VpnHost& host, const NetGrants& grants,
                                       const OccupiedNetwork& occupied);

/// The addresses asked for; where no port is given it is the network's. Throws Error (invalid).
[[nodiscard]] std::vector<VpnAddress> addresses_of(const NetworkRecord& network,
                                                   const std::vector<VpnAddressWish>& wishes);

/// Gives the network that slice, and its VMs the rest of it.
void set_slice(NetworkRecord& network, const Cidr& slice);

} // namespace capsul
