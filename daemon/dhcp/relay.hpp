// Carries frames between the guests and the server until the server ends.
#pragma once

#include "daemon/dhcp/server.hpp"
#include "daemon/dhcp/tap.hpp"

#include <functional>

namespace capsul::dhcp {

/// Returns the server's exit status. SIGHUP, SIGTERM and SIGINT, which must be blocked, are passed on to it.
/// `ready` is called once, when it listens. Throws std::system_error, as when the trunk was removed.
[[nodiscard]] int relay(Tap& trunk, Tap& own, const Server& server, const ServerProcess& process,
                        const sigset_t& signals, const std::function<void()>& ready);

} // namespace capsul::dhcp
