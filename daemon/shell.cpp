#include "daemon/shell.hpp"

#include "lib/error.hpp"

namespace capsul {

std::string quote_shell_word(std::string_view word) {
    if (word.find_first_of(std::string_view("\0\n\r", 3)) != std::string_view::npos) {
        throw Error(ErrorCode::invalid, "a script cannot hold NUL and line ends in a word");
    }
    std::string quoted = "'";
    for (const char c : word) {
        if (c == '\'') {
            quoted += "'\\''";
        } else {
            quoted += c;
        }
    }
    return quoted + "'";
}

} // namespace capsul
