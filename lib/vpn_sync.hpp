// What capsul-peer and capsuld tell each other: bundles in a folder, and which hosts answer.
//
// In the folder peer/ of a network, capsuld writes bundle.json and, when it has changed, sends SIGHUP;
// capsul-peer puts what other hosts say into inbox/NODE.json, or join-NODE.json for a host that joins by an
// invitation, when it says more than bundle.json does. capsuld removes it from there when it has taken it in
// or refused it, as the last thing that it does.
#pragma once

#include "lib/vpn.hpp"

#include <optional>
#include <string>
#include <vector>

namespace capsul {

/// Another host, as capsul-peer finds it.
struct SyncPeer {
    NodeName node;
    bool reachable = false; ///< the last exchange with it succeeded
    std::optional<Timestamp> last_seen;
    std::optional<double> rtt_ms;
    std::optional<std::string> problem; ///< why it is not reachable
    static constexpr auto fields() {
        return field_list(required("node", &SyncPeer::node), required("reachable", &SyncPeer::reachable),
                          optional("last_seen", &SyncPeer::last_seen), optional("rtt_ms", &SyncPeer::rtt_ms),
                          optional("problem", &SyncPeer::problem));
    }
};

/// The file that capsul-peer keeps in its runtime folder.
struct SyncStatus {
    std::vector<SyncPeer> peers;
    static constexpr auto fields() { return field_list(required("peers", &SyncStatus::peers)); }
};

/// Whether `theirs` has a host, something newer of a host, or a revoked identity that `own` has not. What
/// hosts say that `own` has revoked does not count.
[[nodiscard]] bool says_more(const VpnBundle& theirs, const VpnBundle& own);

/// Of whom the identity is, if it is that of a host in `bundle` that is not revoked.
[[nodiscard]] std::optional<NodeName> member_of(const VpnBundle& bundle, const Identity& identity);

} // namespace capsul
