// Attaching to a TAP interface (the kernel's documentation, networking/tuntap).
#pragma once

#include <string>

namespace capsul::launcher {

/// A new descriptor of the TAP `name`, which must belong to this user, made as QEMU would make it: for
/// `-netdev tap,fd=`. Closed on exec. Throws std::system_error naming the TAP.
[[nodiscard]] int attach_tap(const std::string& name);

} // namespace capsul::launcher
