// The backup of a VM: a tar of a manifest and files, plain or compressed by zstd.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace capsul::unpack {

/// Writes the manifest, the first member, to `target`, which is there and empty. Throws Error: verification
/// for a damaged file, invalid for one that is no backup, whose manifest has more than `most` bytes,
/// no_space.
void unpack_backup_manifest(const std::filesystem::path& file, const std::filesystem::path& target,
                            std::uint64_t most);

/// A member that the manifest lists, and where it goes.
struct WantedMember {
    std::string name;
    std::uint64_t size = 0;
    std::filesystem::path target; ///< is there, and empty
};

/// Writes the members. Throws Error as above unless these are what comes after the manifest, in this order,
/// and nothing else.
void unpack_backup(const std::filesystem::path& file, const std::vector<WantedMember>& members);

} // namespace capsul::unpack
