// The catalogue as it was fetched last: a file, read and written whole.
#pragma once

#include "lib/catalogue.hpp"
#include "lib/paths.hpp"

namespace capsul {

struct KnownCatalogue {
    std::string sources; ///< what it was asked of; of other sources it says nothing
    Catalogue catalogue;

    static constexpr auto fields() {
        return field_list(required("sources", &KnownCatalogue::sources),
                          required("catalogue", &KnownCatalogue::catalogue));
    }
};

/// Without entries when it never was fetched, or another capsul has written it. Never waits for the network.
[[nodiscard]] KnownCatalogue known_catalogue(const Paths& paths);

/// Replaces it. Throws Error.
void keep_catalogue(const Paths& paths, const KnownCatalogue& known);

} // namespace capsul
