// Base64 (RFC 4648 section 4), for what a guest's command reads and writes.
#pragma once

#include <string>
#include <string_view>

namespace capsul::cli {

[[nodiscard]] std::string base64_encode(std::string_view bytes);

/// Throws Error (internal) on anything that is not Base64.
[[nodiscard]] std::string base64_decode(std::string_view text);

} // namespace capsul::cli
