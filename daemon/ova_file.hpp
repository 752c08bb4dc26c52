// Writes an OVA: a tar of a descriptor, its manifest, and a disk.
#pragma once

#include "lib/name.hpp"
#include "lib/size.hpp"

#include <filesystem>

namespace capsul {

/// Writes `target`, new, with the streamOptimized VMDK in `vmdk`, whose guest sees `disk_size`. Throws Error
/// (no_space, internal); `target` may be left half-made then.
void write_ova(const std::filesystem::path& target, const Name& machine, const std::filesystem::path& vmdk,
               Bytes disk_size);

} // namespace capsul
