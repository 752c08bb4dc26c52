// The catalogue as it was fetched last: a file, read and written whole.
#pragma once

#include "lib/catalogue.hpp"
#include "lib/paths.hpp"

namespace capsul {

/// Without entries when it never was fetched, or another capsul has written it. Never waits for the network.
[[nodiscard]] Catalogue known_catalogue(const Paths& paths);

/// Replaces it. Throws Error.
void keep_catalogue(const Paths& paths, const Catalogue& catalogue);

} // namespace capsul
