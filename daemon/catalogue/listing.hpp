// The page of a folder, as web servers make it.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace capsul {

constexpr std::uint64_t largest_listing = std::uint64_t{4} << 20U;

/// The files in the folder that the page links to and that are called plainly. Throws Error (invalid) when
/// there are none, or too many.
[[nodiscard]] std::set<std::string> parse_listing(std::string_view text);

} // namespace capsul
