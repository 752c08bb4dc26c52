// The files of a new VM.
#pragma once

#include "daemon/vm_power.hpp"

#include <map>
#include <string>

namespace capsul {

/// Writes everything but the record, which is written last: without it there is no VM. Throws Error:
/// no_space and such; what is written by then stays, for remove_vm_files.
void write_new_files(const VmHost& host, const VmCreate& call, const VmRecord& vm, const ImageRecord& image);

/// Everything but the record and the disks. `seed`: the files that its guest's cloud-init is given.
void write_files_around_disks(const VmHost& host, const VmRecord& vm,
                              const std::map<std::string, std::string>& seed);

/// Starts a VM that was made a moment ago, as its next action. It stays when it does not start, and the Error
/// says so; `made`: "restored", "copied".
void start_made(const VmHost& host, const VmPower& power, const Name& name, const char* made,
                Progress& progress);

} // namespace capsul
