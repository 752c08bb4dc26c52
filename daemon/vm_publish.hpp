// The published ports of VMs whose guest is reached by way of a nat network: their units, and whether they
// are open.
#pragma once

#include "daemon/vm_host.hpp"

namespace capsul {

/// Throws Error (invalid) when its ports lead nowhere, for it has no NIC that they could be published
/// through, or cannot be published through the one that it has.
void check_publish(const VmRecord& vm, NetworkService& networks);

/// Writes the units of its ports; removes them when it needs none. A relay that runs is stopped when its unit
/// changes: the next connection starts the new one.
void write_publish_files(const VmHost& host, const VmRecord& vm);

/// Why its ports, which a relay serves, are not open; nothing when they are, or it has none.
[[nodiscard]] std::optional<std::string> publish_problem(const VmHost& host, const VmRecord& vm);

/// Makes sure that the ports of a VM that runs are open. Throws Error: in_use and such, telling which is not.
void open_published(const VmHost& host, const VmRecord& vm);

/// Closes its ports, if a relay serves them, and ends all connections; done when it returns. systemd does the
/// same some time after the VM's end.
void close_published(const VmHost& host, const Name& name);

} // namespace capsul
