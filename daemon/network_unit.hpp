// The systemd units of networks and of VMs' interfaces. Pure.
//
// Neither has a sandbox: NoNewPrivileges= and every seccomp directive would take away the helper's file
// capability, and PrivateUsers= would make it one of a user namespace that owns no interface. What they run
// is a script of capsul's own.
#pragma once

#include "lib/network.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace capsul {

/// The sealed text of capsul-net-NAME.service; `folder` holds setup.sh and teardown.sh. The unit of its DHCP
/// server starts with it.
[[nodiscard]] std::string network_unit(const NetworkRecord& network, const std::filesystem::path& folder);

/// The sealed text of capsul-tap-VM.service; `folder` holds net-setup.sh and net-teardown.sh. It comes and
/// goes with the VM's unit, and needs those of its networks.
[[nodiscard]] std::string tap_unit(const Name& vm, const std::vector<Name>& networks,
                                   const std::filesystem::path& folder);

} // namespace capsul
