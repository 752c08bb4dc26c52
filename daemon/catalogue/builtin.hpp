// The sources of images that capsul knows by itself.
#pragma once

#include "lib/image_source.hpp"

#include <string>
#include <vector>

namespace capsul {

struct BuiltinSource {
    ImageSourceConfig source;
    std::string keyring_from; ///< where its keyring is to be had
};

[[nodiscard]] std::vector<BuiltinSource> builtin_sources();

} // namespace capsul
