// capsul-peer check: tries how well each other host of a VPN is reached, once, and writes down what it finds.
#pragma once

#include "daemon/peer/options.hpp"

namespace capsul::peer {

/// Throws Error.
void check(const Options& options);

} // namespace capsul::peer
