// The terminal and a console, one the other's keyboard and screen.
#pragma once

#include "cli/output.hpp"

namespace capsul::cli {

enum class RelayEnd { left, closed }; ///< Ctrl-]; the console's end

/// Passes bytes between `console` and standard input and `out` until one ends. On a terminal every key goes
/// to the guest but Ctrl-], which leaves; the terminal is as before when this returns or throws. Elsewhere
/// input is passed on until its end, and output then goes on until the console closes. A signal that ends the
/// process does so after the terminal is as before.
RelayEnd relay_console(int console, Output& out);

} // namespace capsul::cli
