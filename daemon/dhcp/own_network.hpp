// A user and a network namespace of this process's own: in them it may do what only root may on the host.
#pragma once

namespace capsul::dhcp {

/// From now on this process, which must have one thread, is in a new user, network and (its children) process
/// namespace, as the same user. It has every capability there, and none on the host. Throws
/// std::system_error.
void enter_own_network();

} // namespace capsul::dhcp
