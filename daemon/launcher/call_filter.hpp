// A seccomp filter on the arguments of system calls, which the unit's own filter cannot look at.
#pragma once

#include "daemon/launcher/options.hpp"

namespace capsul::launcher {

/// From here on and over exec, this process can attach to no TAP, change neither the MAC address nor the
/// owner of one, fake no input of a terminal, and neither signal nor limit anybody but itself; system calls
/// of another architecture (x32, i386) kill it. Without `internet` it can also not connect to anyone, with it
/// hardly to a Unix socket. Refused calls fail with EPERM. Throws std::system_error when the kernel takes no
/// filter.
void filter_calls(const Options& options);

} // namespace capsul::launcher
