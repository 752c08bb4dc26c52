// The host ports of VMs: what may be published, and whether it can be now.
#pragma once

#include "lib/vm.hpp"

#include <vector>

namespace capsul {

/// Throws Error (invalid) on ports that one VM cannot have: too many, or one twice.
void check_publish(const std::vector<PublishedPort>& ports);

/// Throws Error when a port cannot be bound now: in_use, denied (the system's own ports), invalid (the
/// address is none of this host).
void check_ports_free(const Name& name, const std::vector<PublishedPort>& ports);

/// The VM's published ports, with that of its ssh server if it has one.
[[nodiscard]] std::vector<PublishedPort> all_ports(const VmRecord& vm);

} // namespace capsul
