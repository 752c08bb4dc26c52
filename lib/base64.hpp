// Base64 (RFC 4648 section 4), strict: what a hostile peer sends either is exactly that or is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace capsul {

[[nodiscard]] std::string base64_encode(std::string_view data);

/// Nothing when `text` has any other character, a wrong length, misplaced padding or bits left over.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);

} // namespace capsul
