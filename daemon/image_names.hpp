// The names of images. Images and aliases share one name space: a name means an image, or an alias that leads
// to one.
#pragma once

#include "daemon/store.hpp"
#include "lib/error.hpp"

#include <string>
#include <vector>

namespace capsul {

/// The image that `name` means. Throws Error: not_found with a hint of what there is, wrong_state for an
/// alias that leads nowhere.
[[nodiscard]] Name image_named(Store& store, const Name& name);

/// Why an alias leads nowhere; empty when it leads to an image.
[[nodiscard]] std::string alias_problem(Store& store, const Stored<AliasRecord>& alias);

/// Throws Error (exists) when `name` is an alias, and so cannot be an image's.
void require_no_alias(Store& store, const Name& name);
/// Throws Error (exists) when `name` is an image's, and so cannot be an alias.
void require_no_image(Store& store, const Name& name);

/// The error (not_found) about a name that is neither.
[[nodiscard]] Error no_such_image(Store& store, const Name& name);

/// "image web: TEXT": how every error about an image begins.
[[nodiscard]] std::string about_image(const Name& name, const std::string& text);

/// "web, db"; of very many only the first.
[[nodiscard]] std::string join_names(const std::vector<Name>& names);

} // namespace capsul
