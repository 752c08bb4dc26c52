// Why a VM did not start, in the words of who knows: QEMU, its launcher, a script, systemd.
#pragma once

#include "daemon/vm_host.hpp"

namespace capsul {

/// The VM's unit has failed or ended. Waits a second for the journal.
[[nodiscard]] Error start_error(const VmHost& host, const Name& name);

/// One of the units that its interfaces need has not come up; its failure is forgotten.
[[nodiscard]] Error dependency_error(const VmHost& host, const VmRecord& vm);

} // namespace capsul
