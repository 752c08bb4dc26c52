// A disk that is compressed by gzip, bzip2, xz or zstd.
#pragma once

#include <cstdint>
#include <filesystem>

namespace capsul::unpack {

/// Writes `target`, which is there and empty, of at most `most` bytes. Throws Error: verification for a
/// damaged file, invalid for one that is compressed twice or holds nothing, too_large, no_space.
void unpack_compressed(const std::filesystem::path& file, const std::filesystem::path& target,
                       std::uint64_t most);

} // namespace capsul::unpack
