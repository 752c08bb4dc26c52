// The systemd unit of a VM. Pure.
#pragma once

#include "daemon/qemu_config.hpp"

#include <string>

namespace capsul {

/// What stands before each line of its output in the journal.
[[nodiscard]] std::string vm_syslog_identifier(const Name& vm);

/// The sealed text of capsul-vm-NAME.service. `programs` is the folder of capsul's own programs.
[[nodiscard]] std::string vm_unit(const VmRecord& vm, const VmFiles& files, const fs::path& programs);

} // namespace capsul
