// Becoming another program.
#pragma once

#include <string>
#include <vector>

namespace capsul::launcher {

/// From here on this process is the program at the absolute path `command[0]`, with the rest as its arguments
/// and an empty environment (execve(2)). Returns never; throws std::system_error, which names the program.
[[noreturn]] void become(std::vector<std::string> command);

} // namespace capsul::launcher
