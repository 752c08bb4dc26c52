// Landlock (landlock(7)): which files QEMU may still open, beside what its mount namespace shows.
#pragma once

#include "daemon/launcher/options.hpp"

namespace capsul::launcher {

/// The version of Landlock that this kernel has; 0 when it has none or has it switched off.
[[nodiscard]] int landlock_version();

/// Confines this process, for good and over exec, to the programs, libraries and settings of the system, the
/// devices that QEMU uses, the program itself, and what `options` lists; from version 4 on also to no TCP
/// without `internet`, from 6 on to no signals and no abstract sockets of others. Does nothing where the
/// kernel has no Landlock. Throws std::system_error naming the path that cannot be opened.
void confine_files(const Options& options);

} // namespace capsul::launcher
