// Files of checksums, as sha256sum(1) and BSD's sha256(1) write them.
#pragma once

#include "lib/catalogue.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace capsul {

/// What such a file says of one file.
struct FileSum {
    std::optional<Checksum> checksum; ///< the strongest; none when it has two that differ
    std::optional<std::uint64_t> size;
};

constexpr std::uint64_t largest_sums = std::uint64_t{1} << 20U;

/// By the files' names. A checksum without one, as in a file of one checksum, has the name "". Understood are
/// "HEX  FILE", "HEX *FILE", "SHA256 (FILE) = HEX", "# FILE: SIZE bytes", and a signature around it all; what
/// is of another kind, or in another folder, is passed over. Throws Error (invalid) when there is no checksum
/// at all, or too much.
[[nodiscard]] std::map<std::string, FileSum> parse_sums(std::string_view text);

} // namespace capsul
