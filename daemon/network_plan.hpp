// What a new network will be: what was asked for, completed and judged by what the administrator allows and
// what this host has already. Pure.
#pragma once

#include "daemon/net_grants.hpp"
#include "daemon/netlink.hpp"
#include "lib/network.hpp"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace capsul {

/// Of those who would give a VPN other DNS servers.
inline constexpr const char* vpn_dns_hint = "guests of a VPN ask its resolver";

/// What is taken on this host.
struct OccupiedNetwork {
    std::set<std::string> interfaces;                  ///< names, in use or promised
    std::vector<std::pair<Cidr, std::string>> subnets; ///< and by what
};

/// The record as asked for, with the time. Throws Error (invalid) on what the type cannot have.
[[nodiscard]] NetworkRecord network_record(const NetworkCreate& call);

/// Completes a `bridge` network; `bridge` is the interface of that name, `others` are the networks there are.
/// Throws Error: not_found (no bridge), denied (not allowed), in_use (addresses of another network).
void plan_bridge(NetworkRecord& network, const NetGrants& grants, const std::optional<Link>& bridge,
                 const std::vector<NetworkRecord>& others);

/// Refuses (denied) an address that guests on the bridge of `network` may not have.
void require_allowed(const NetworkRecord& network, const NetGrants& grants, const IpAddress& ip);

/// Completes a `nat` network: a name for its bridge, a free subnet, the gateway. Throws Error: denied,
/// in_use.
void plan_nat(NetworkRecord& network, const NetGrants& grants, const OccupiedNetwork& occupied);

/// Refuses (denied) a user who may not make bridges and let guests out of them.
void require_own_bridges(const NetworkRecord& network, const NetGrants& grants);
/// Refuses a subnet that is not granted (denied) or in part taken (in_use).
void check_subnet(const NetworkRecord& network, const Cidr& subnet, const NetGrants& grants,
                  const OccupiedNetwork& occupied);
/// One of that length, or as large as a grant is: the first that is free, of a VPN the last. Throws Error
/// (in_use).
[[nodiscard]] Cidr free_subnet(const NetworkRecord& network, int wanted_length, const NetGrants& grants,
                               const OccupiedNetwork& occupied);

/// A name for an interface of capsul's: readable if it fits, unique in any case. `id` is what it is for
/// ("web-0"), `seed` tells apart what has the same beginning.
[[nodiscard]] InterfaceName interface_name(const std::string& prefix, const std::string& id,
                                           const std::set<std::string>& taken);

} // namespace capsul
