// Words of a shell script. Pure.
#pragma once

#include <string>
#include <string_view>

namespace capsul {

/// One word for a POSIX shell (XCU 2.2.2): exactly these bytes, in single quotes. Throws Error (invalid) on
/// NUL and line ends.
[[nodiscard]] std::string quote_shell_word(std::string_view word);

} // namespace capsul
