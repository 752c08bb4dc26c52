// Sources of the kind simplestreams, as Ubuntu and the Linux Containers image server publish.
#pragma once

#include "daemon/catalogue/document.hpp"
#include "daemon/catalogue/source.hpp"

namespace capsul {

/// The index of the streams.
[[nodiscard]] std::vector<CatalogueDocument> simplestreams_documents(const ImageSource& source);

/// Of the index, the lists of products that can be downloaded; of a list of products, the newest disk of
/// each. Throws Error (invalid) when the document is none.
[[nodiscard]] CatalogueStep read_simplestreams(const ImageSource& source,
                                               const std::vector<Architecture>& architectures,
                                               const CatalogueText& text);

} // namespace capsul
