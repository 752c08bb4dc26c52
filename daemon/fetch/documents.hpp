// `capsul-fetch documents`: small files that tell of images, such as indexes and checksums.
#pragma once

#include "daemon/fetch_folder.hpp"

#include <filesystem>

namespace capsul::fetch {

/// Gets all, several at a time; one that fails is an outcome too. What is verified of each is then in
/// documents/ID. Throws Error when the request is wrong.
[[nodiscard]] DocumentsResult fetch_documents(const std::filesystem::path& folder,
                                              const DocumentsRequest& request);

} // namespace capsul::fetch
