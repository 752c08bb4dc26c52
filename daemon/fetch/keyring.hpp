// Keys as publishers hand them out. Pure.
#pragma once

#include <string>
#include <string_view>

namespace capsul::fetch {

[[nodiscard]] bool is_armored(std::string_view keyring);

/// The keys of all blocks of an armored keyring (RFC 4880 6.2), as gpgv wants them. Throws Error (invalid).
[[nodiscard]] std::string without_armor(std::string_view keyring);

} // namespace capsul::fetch
