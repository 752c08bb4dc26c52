// `network check`: how well each other host of a VPN is reached.
#pragma once

#include "lib/host.hpp"
#include "lib/name.hpp"
#include "lib/vpn.hpp"

#include <optional>
#include <string>
#include <vector>

namespace capsul {

/// One thing that was tried with another host.
struct PeerFinding {
    NodeName node;
    std::string check; ///< a stable word: "slice", "handshake", "ping", "mtu", "download", "upload"
    Severity severity = Severity::ok;
    std::string message;
    std::string hint;
    /// What was measured: ms of a handshake or ping, bytes of an mtu, Mbit/s of a download or upload.
    std::optional<double> value;

    static constexpr auto fields() {
        return field_list(required("node", &PeerFinding::node), required("check", &PeerFinding::check),
                          required("severity", &PeerFinding::severity),
                          required("message", &PeerFinding::message), optional("hint", &PeerFinding::hint),
                          optional("value", &PeerFinding::value));
    }
};

/// What `capsul-peer check` writes down.
struct PeerFindings {
    std::vector<PeerFinding> findings;
    static constexpr auto fields() { return field_list(required("findings", &PeerFindings::findings)); }
};

} // namespace capsul
