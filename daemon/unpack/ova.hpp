// A disk in an OVA: a tar of a descriptor, perhaps a manifest, and the disks of a virtual machine.
#pragma once

#include <cstdint>
#include <filesystem>

namespace capsul::unpack {

/// Writes the only disk to `target`, which is there and empty, of at most `most` bytes. Throws Error: invalid
/// for any other tar and for what does not belong in an OVA (folders, links, several disks), verification for
/// a damaged one, and where the manifest says otherwise, too_large, no_space.
void unpack_ova(const std::filesystem::path& file, const std::filesystem::path& target, std::uint64_t most);

} // namespace capsul::unpack
