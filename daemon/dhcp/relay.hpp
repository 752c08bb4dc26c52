// Carries frames between the guests and the server until the server ends.
#pragma once

#include "daemon/dhcp/packet.hpp"
#include "daemon/dhcp/server.hpp"
#include "daemon/dhcp/tap.hpp"

#include <functional>

namespace capsul::dhcp {

/// Between the two.
struct Passage {
    std::function<bool(Frame)> lets_in;
    std::function<bool(Frame)> lets_out;
    /// What the server gets before a frame that is let in; nothing when empty.
    std::function<std::vector<std::uint8_t>(Frame)> introduction;
};

/// Of UDP, on which the server listens when it is ready; 0: not with this family.
struct Ports {
    std::uint16_t ip4 = 0;
    std::uint16_t ip6 = 0;
};

/// Returns the server's exit status. SIGHUP, SIGTERM and SIGINT, which must be blocked, are passed on to it.
/// `ready` is called once, when it listens. Throws std::system_error, as when the trunk was removed.
[[nodiscard]] int relay(Tap& trunk, Tap& own, const Passage& passage, Ports ports,
                        const ServerProcess& process, const sigset_t& signals,
                        const std::function<void()>& ready);

} // namespace capsul::dhcp
