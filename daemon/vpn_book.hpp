// What a host of a VPN knows of the others, and how that grows by what they tell. Pure.
#pragma once

#include "lib/network.hpp"

#include <string>
#include <vector>

namespace capsul {

struct VpnBook {
    std::vector<VpnStatement> peers; ///< in the order of their names
    std::vector<Identity> revoked;
    auto operator<=>(const VpnBook&) const = default;
};

/// Who speaks in a bundle: one with whom somebody here has agreed on it (`peer add`, an invitation), or a
/// member, who passes on what others have said.
enum class Speaker { introduced, member };

/// The book after taking in `bundle`, which has been checked. A later word of a known host counts; a host is
/// known by its identity, and keeps its name. What a member passes on and cannot be taken in is passed over.
/// Throws Error: verification (another VPN), and about an introduced host in_use (a name or a slice that is
/// another's), denied (revoked).
[[nodiscard]] VpnBook merged(const NetworkRecord& network, const VpnBook& book, const VpnBundle& bundle,
                             Speaker speaker);

/// Without the host, whose identity is revoked. Throws Error (not_found).
[[nodiscard]] VpnBook without_peer(const NetworkRecord& network, const VpnBook& book, const NodeName& node);

/// Why a peer's addresses can clash with those of another: nothing if they cannot.
[[nodiscard]] std::optional<std::string> slice_problem(const NetworkRecord& network, const VpnBook& book,
                                                       const VpnNode& peer);

/// The first part of the subnet, of that length, which is nobody's. Throws Error (in_use).
[[nodiscard]] Cidr free_slice(const NetworkRecord& network, const VpnBook& book);

/// Refuses (invalid, in_use) a slice that is no part of the subnet, too small, or of which another host has
/// some.
void check_slice(const NetworkRecord& network, const VpnBook& book, const Cidr& slice);

} // namespace capsul
