// Namespaces of a process's own: in them it may do what only root may on the host.
#pragma once

#include <cstdint>

namespace capsul::launcher {

/// From now on this process, which must have one thread, is in a new user namespace, as the same user, and in
/// new ones of `kinds` (flags of unshare(2)); of a process namespace only its children are. It has every
/// capability there, and none on the host. Throws std::system_error.
void enter_namespaces(int kinds);

/// This process has the capabilities of `mask` and no others. Throws std::system_error.
void set_capabilities(std::uint32_t mask);

} // namespace capsul::launcher
