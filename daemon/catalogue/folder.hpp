// Sources of the kind folder: files, and beside them their checksums.
#pragma once

#include "daemon/catalogue/document.hpp"
#include "daemon/catalogue/source.hpp"

namespace capsul {

/// The checksums of each image, or the listing of its folder where only that tells how its file is called.
[[nodiscard]] std::vector<CatalogueDocument> folder_documents(const ImageSource& source,
                                                              const std::vector<Architecture>& architectures);

/// Throws Error (invalid) when the document is none.
[[nodiscard]] CatalogueStep read_folder(const ImageSource& source,
                                        const std::vector<Architecture>& architectures,
                                        const CatalogueText& text);

} // namespace capsul
