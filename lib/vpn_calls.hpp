// The calls of vpn networks alone: joining, other hosts, what they tell.
#pragma once

#include "lib/network.hpp"
#include "lib/vpn_check.hpp"

#include <optional>
#include <vector>

namespace capsul {

/// What another host needs to join a VPN, or to know of this one. Sent by whoever may see the network.
struct NetworkExport {
    Name name;
    std::optional<NodeName> node; ///< keeps a slice for this host, or tells the one that is kept
    using Result = VpnBundle;
    static constexpr Route route{Method::post, "/v1/networks/{name}/export", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &NetworkExport::name), optional("node", &NetworkExport::node));
    }
};

/// Makes a vpn network of what another host has exported for this one. That host does not know this one yet:
/// it is told what NetworkExport gives here.
struct NetworkJoin {
    VpnBundle bundle;
    std::optional<Name> name; ///< as on the other host
    VpnWishes vpn;            ///< mtu: the VPN's, not chosen here
    bool start = true;
    bool autostart = true;
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/vpn/join", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("bundle", &NetworkJoin::bundle), optional("name", &NetworkJoin::name),
                          optional("vpn", &NetworkJoin::vpn), optional("start", &NetworkJoin::start),
                          optional("autostart", &NetworkJoin::autostart));
    }
};

/// Takes in what another host tells: new hosts, what has changed of known ones, and who is revoked.
struct NetworkPeerAdd {
    Name name;
    VpnBundle bundle;
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/networks/{name}/peers", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &NetworkPeerAdd::name),
                          required("bundle", &NetworkPeerAdd::bundle));
    }
};

/// What invites one host into a VPN.
struct InviteResult {
    std::string code; ///< good once
    Timestamp expires;
    static constexpr auto fields() {
        return field_list(required("code", &InviteResult::code), required("expires", &InviteResult::expires));
    }
};

/// Opens an invitation: until it expires or is taken, this host listens for whoever has its code.
struct NetworkInvite {
    Name name;
    std::optional<Duration> expires; ///< in an hour
    /// Where the other host finds this one; those of the network when absent. With a port: listens there.
    std::optional<VpnAddressWish> address;
    using Result = InviteResult;
    static constexpr Route route{Method::post, "/v1/networks/{name}/invitations", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &NetworkInvite::name),
                          optional("expires", &NetworkInvite::expires),
                          optional("address", &NetworkInvite::address));
    }
};

/// Revokes a host: it is cut off here at once, and by every other host as soon as that is told.
struct NetworkPeerRemove {
    Name name;
    NodeName node;
    using Result = Network;
    static constexpr Route route{Method::delete_, "/v1/networks/{name}/peers/{node}", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &NetworkPeerRemove::name),
                          required("node", &NetworkPeerRemove::node));
    }
};

/// Exchanges what there is to tell with every host that can be reached, now instead of within a minute.
struct NetworkPeerSync {
    Name name;
    using Result = Network;
    static constexpr Route route{Method::post, "/v1/networks/{name}/sync", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &NetworkPeerSync::name)); }
};

/// Tries all other hosts, one after the other: a download and an upload take two seconds each.
struct NetworkCheck {
    Name name;
    using Result = std::vector<PeerFinding>;
    static constexpr Route route{Method::post, "/v1/networks/{name}/check", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &NetworkCheck::name)); }
};

} // namespace capsul
