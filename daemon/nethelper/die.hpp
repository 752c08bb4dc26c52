// How this program speaks and ends.
#pragma once

namespace capsul::nethelper {

enum class Exit : int { done = 0, refused = 1, usage = 2, unsafe = 3, kernel = 4 };

/// Ends the program with one line on standard error. What is not yet committed in the kernel goes with the
/// process.
[[noreturn, gnu::format(printf, 2, 3)]] void die(Exit code, const char* format, ...);

/// The same for a system call that failed with `error`, an errno: Exit::kernel.
[[noreturn, gnu::format(printf, 2, 3)]] void die_errno(int error, const char* format, ...);

/// One line, or a part of one, on standard output.
[[gnu::format(printf, 1, 2)]] void print(const char* format, ...);

} // namespace capsul::nethelper
