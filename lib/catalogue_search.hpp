// Finds images in the catalogue.
#pragma once

#include "lib/catalogue.hpp"

namespace capsul {

/// Whether a source could not be asked for something. What is gone (not_found) is an answer too, such as a
/// release that was withdrawn: of that nothing stands any more.
[[nodiscard]] bool is_silence(const SourceProblem& problem);

/// The entries that have `word` somewhere in their name, aliases, title or source, whatever the case; all for
/// an empty one. By name, architecture and source.
[[nodiscard]] std::vector<CatalogueEntry> search(const Catalogue& catalogue, std::string_view word);

/// The entry that `word` names, as "debian-12", "Ubuntu 24.04" or, with its source, "debian/debian-12".
/// Throws Error: not_found with what may have been meant, invalid when several sources have it.
[[nodiscard]] const CatalogueEntry& find_entry(const Catalogue& catalogue, std::string_view word,
                                               Architecture architecture);

/// What the source of an image offers now under the name that it had; nullptr when it has none, or is none
/// of the catalogue.
[[nodiscard]] const CatalogueEntry* find_successor(const Catalogue& catalogue, const ImageOrigin& origin,
                                                   Architecture architecture);

/// Its version, if it is a newer one.
[[nodiscard]] std::optional<ImageVersion> newer_version(const Catalogue& catalogue, const ImageOrigin& origin,
                                                        Architecture architecture);

} // namespace capsul
