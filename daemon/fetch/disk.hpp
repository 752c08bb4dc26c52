// `capsul-fetch disk`: a disk image from its URL to a verified file.
#pragma once

#include "daemon/fetch_folder.hpp"

#include <filesystem>

namespace capsul::fetch {

/// Leaves `disk` in `folder`, and beside it what the next time needs to know that it is whole. Throws Error:
/// what is wrong in itself is gone then; of what was cut off, the beginning stays for the next time.
[[nodiscard]] FetchedFile fetch_disk(const std::filesystem::path& folder, const DiskRequest& request);

} // namespace capsul::fetch
