// Reads the catalogue, document by document, for somebody who gets them:
//
//     for (round = documents_of(source, architectures); !round.empty(); round = all of step.documents) {
//         … get each of the round, and check its signature …
//         step = read_document(source, architectures, text);
//         add_step(catalogue, step);
//     }
//
// There are at most two rounds.
//
// Pure: the documents are from anywhere, and nothing in them is believed.
#pragma once

#include "daemon/catalogue/document.hpp"
#include "daemon/catalogue/source.hpp"

#include <vector>

namespace capsul {

/// The documents of a source that are got first; none when it is not usable.
[[nodiscard]] std::vector<CatalogueDocument> documents_of(const ImageSource& source,
                                                          const std::vector<Architecture>& architectures);

/// What is in a document of this source. Whatever is wrong with it is told as a problem.
[[nodiscard]] CatalogueStep read_document(const ImageSource& source,
                                          const std::vector<Architecture>& architectures,
                                          const CatalogueText& text);

/// Adds entries, which are kept sorted, and problems. Of two entries of one source with the same name and
/// machine the newer one stays.
void add_step(Catalogue& catalogue, CatalogueStep step);

/// A catalogue without entries yet, with what is known to be wrong with the sources.
[[nodiscard]] Catalogue empty_catalogue(const std::vector<ImageSource>& sources);

} // namespace capsul
