// Digests of large files. Knows no capsul noun.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace capsul {

/// SHA-256 of a file's content: 64 lower-case hexadecimal digits. `on_read` is told how many bytes have been
/// read so far; what it throws ends the work.
[[nodiscard]] std::string sha256_of_file(const std::filesystem::path& file,
                                         const std::function<void(std::uint64_t)>& on_read);

} // namespace capsul
