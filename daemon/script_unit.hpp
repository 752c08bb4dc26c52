// The units that run capsul's scripts to set up and tear down: a network's, and that of a VM's interfaces.
#pragma once

#include "daemon/systemd_client.hpp"
#include "lib/error.hpp"

#include <chrono>
#include <string>

namespace capsul {

enum class UnitStep { start, reload, stop };

/// Why that step of the unit failed: `what`, and then what its script said. The code follows from the exit
/// status, which is capsul-net's (capsul-net(8)): denied, not_capable, or else internal.
[[nodiscard]] Error script_error(SystemdClient& systemd, const std::string& unit, UnitStep step,
                                 const std::string& what);

/// Does again what the setup script of a unit that is up says, which does only what is missing. Throws
/// script_error.
void reload_scripts(SystemdClient& systemd, const std::string& unit, const std::string& what);

/// Stops the unit: it is inactive when this returns. Throws script_error when its teardown fails; the unit
/// stays failed then, for all to see, and the next call tries again.
void take_down_scripts(SystemdClient& systemd, const std::string& unit, const std::string& what);

} // namespace capsul
