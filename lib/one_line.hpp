// Texts from elsewhere, fit for a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace capsul {

/// A text from elsewhere as one line of at most `longest` bytes, without control characters.
[[nodiscard]] std::string one_line(std::string_view text, std::size_t longest = 100);

} // namespace capsul
