// The files of a new VM.
#pragma once

#include "daemon/vm_host.hpp"

namespace capsul {

/// Writes everything but the record, which is written last: without it there is no VM. Throws Error:
/// no_space and such; what is written by then stays, for remove_vm_files.
void write_new_files(const VmHost& host, const VmCreate& call, const VmRecord& vm);

} // namespace capsul
