// Texts with an OpenPGP signature around them (RFC 9580 7).
#pragma once

#include <string>
#include <string_view>

namespace capsul {

[[nodiscard]] bool is_clearsigned(std::string_view text);

/// The text inside, its signature not looked at. Stricter than any program that checks one: whatever is not
/// surely inside of the signature is refused, and with it all else. Throws Error (invalid).
[[nodiscard]] std::string clearsigned_text(std::string_view text);

/// The text inside of a signed one; any other as it is.
[[nodiscard]] std::string without_signature(std::string_view text);

} // namespace capsul
