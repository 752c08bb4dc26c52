// A text's lines.
#pragma once

#include <optional>
#include <string_view>

namespace capsul {

/// Takes the first line off `text`, without its end, which is "\n" or "\r\n"; nothing at the end of the text.
[[nodiscard]] inline std::optional<std::string_view> take_line(std::string_view& text) {
    if (text.empty()) {
        return std::nullopt;
    }
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    return line;
}

} // namespace capsul
