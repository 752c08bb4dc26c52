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

/// The units that start with a network's and stop with it.
[[nodiscard]] std::vector<std::string> companion_units(const NetworkRecord& network);

/// The sealed text of capsul-net-NAME.service; `folder` holds setup.sh and teardown.sh.
[[nodiscard]] std::string network_unit(const NetworkRecord& network, const std::filesystem::path& folder);

/// The sealed text of capsul-tap-VM.service; `folder` holds net-setup.sh and net-teardown.sh. It comes and
/// goes with the VM's unit, and needs those of its networks. Of `vpns` also the tunnels, but does without
/// them: it would stop, and with it the VM, whenever one of them starts anew.
[[nodiscard]] std::string tap_unit(const Name& vm, const std::vector<Name>& networks,
                                   const std::vector<Name>& vpns, const std::filesystem::path& folder);

} // namespace capsul
