// What is done before anything that a caller gave is looked at.
#pragma once

namespace capsul::nethelper {

/// Standard descriptors are open and every other is closed, the environment is empty; no core dump, no
/// debugger, no privilege but cap_net_admin, none to be gained by exec, and only the system calls that this
/// program needs. Returns whether there is cap_net_admin: not when the file has lost it, nor for a process
/// with no_new_privs.
[[nodiscard]] bool enter_sandbox();

} // namespace capsul::nethelper
