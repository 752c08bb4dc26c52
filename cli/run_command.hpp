// Runs a program of the user's, talks to it, and waits for it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace capsul::cli {

struct CommandResult {
    int status = 0;           ///< exit code, or 128 + the signal that ended it
    bool interrupted = false; ///< by Ctrl-C or Ctrl-\, whatever the program made of it
    std::string out;
};

/// Runs `argv`, looked up in PATH, with `input` on its standard input; its standard error is ours. Meanwhile
/// Ctrl-C is for it and not for us, so that what was begun can be undone. Throws Error: not_capable when
/// there is no such program, too_large (and ends it) when it prints more than `limit` bytes.
[[nodiscard]] CommandResult run_command(const std::vector<std::string>& argv, std::string_view input,
                                        std::size_t limit);

} // namespace capsul::cli
