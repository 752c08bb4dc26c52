// `capsul-fetch disk`: a disk image from its URL to a verified file.
#pragma once

#include "daemon/fetch_folder.hpp"

#include <filesystem>

namespace capsul::fetch {

/// Leaves `disk` in `folder`, beside what clean_up_disk removes. Throws Error: what is wrong in itself is
/// gone then; of what was cut off, the beginning stays for the next time.
[[nodiscard]] FetchedFile fetch_disk(const std::filesystem::path& folder, const DiskRequest& request);

/// Removes the rest, once the result is written: what is cut off before that is found and finished.
void clean_up_disk(const std::filesystem::path& folder);

} // namespace capsul::fetch
