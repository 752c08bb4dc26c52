// Taking VMs off the disk, and what a crash has left of them.
#pragma once

#include "daemon/vm_host.hpp"

#include <set>

namespace capsul {

/// Removes a VM's folder and unit, durably; what is not there is no failure. The VM is gone with the first
/// step: what a crash leaves after that, remove_leftovers() finds. Throws Error.
void remove_vm_files(const VmHost& host, const Name& name);

/// Removes what a crash has left: VM folders without a record, units of capsul's without a folder (but of
/// none that is `running`), and half-written files. What cannot be judged or removed stays, and
/// stops nothing.
void remove_leftovers(const VmHost& host, const std::set<Name>& running);

} // namespace capsul
