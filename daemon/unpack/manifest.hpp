// The manifest of an OVA (DSP0243, "Open Virtualization Format Specification", "OVF package"). Pure.
#pragma once

#include "daemon/digest.hpp"

#include <map>
#include <string>
#include <string_view>

namespace capsul::unpack {

struct ManifestDigest {
    Hash::Kind kind = Hash::Kind::sha256;
    std::string hex; ///< in lower case
};

/// The digest of each file, by its name. Throws Error (invalid) for a line that is none.
[[nodiscard]] std::map<std::string, ManifestDigest> parse_manifest(std::string_view text);

} // namespace capsul::unpack
