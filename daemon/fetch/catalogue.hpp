// `capsul-fetch catalogue`: what the sources of images offer.
#pragma once

#include "daemon/fetch_folder.hpp"

#include <filesystem>

namespace capsul::fetch {

/// Gets the documents of all sources, and those that they lead to. What is wrong with a source is a problem
/// in the catalogue. Throws Error when the request is wrong.
[[nodiscard]] Catalogue fetch_catalogue(const std::filesystem::path& folder, const CatalogueRequest& request);

} // namespace capsul::fetch
