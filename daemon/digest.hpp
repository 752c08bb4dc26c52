// SHA-256 of small texts; files are hashed while they are received (upload_file).
#pragma once

#include <string>
#include <string_view>

namespace capsul {

/// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::string_view data);

} // namespace capsul
