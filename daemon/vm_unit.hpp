// The systemd unit of a VM. Pure.
#pragma once

#include "daemon/qemu_config.hpp"

#include <string>

namespace capsul {

/// The sealed text of capsul-vm-NAME.service. `programs` is the folder of capsul's own programs.
[[nodiscard]] std::string vm_unit(const VmRecord& vm, const VmFiles& files, const fs::path& programs);

} // namespace capsul
