// Gets a disk out of what it is wrapped in: compression, a tar archive, or both.
#pragma once

#include "daemon/fetch/answer.hpp"
#include "daemon/fetch/sparse_file.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>

namespace capsul::fetch {

/// Told of how much of the source has been read.
using OnUnpacked = std::function<void(std::uint64_t)>;

/// Writes to `disk` what is in `file`, which is wrapped in `packing`; a tar archive has to hold one file and
/// beside it folders at most. Throws Error: verification (damaged), invalid (an archive of something else),
/// too_large, no_space.
void unpack(const std::filesystem::path& file, Packing packing, SparseFile& disk,
            const OnUnpacked& on_unpacked);

} // namespace capsul::fetch
