// The systemd unit of a VM. Pure.
#pragma once

#include "daemon/qemu_config.hpp"

#include <string>

namespace capsul {

/// What the NICs of a VM need of the host.
struct NicRights {
    bool internet = true; ///< user-mode networking: QEMU itself speaks to the network, as the user
    bool taps = false;    ///< QEMU attaches to TAPs that were made for it
};

/// The sealed text of capsul-vm-NAME.service. `programs` is the folder of capsul's own programs.
[[nodiscard]] std::string vm_unit(const VmRecord& vm, const VmFiles& files, const fs::path& programs,
                                  const NicRights& nics = {});

} // namespace capsul
