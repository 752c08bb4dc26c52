// Reads a file of this host as if a server answered.
#pragma once

#include "daemon/fetch/transfer.hpp"

namespace capsul::fetch {

/// Throws Error: not_found, denied, invalid (not a regular file).
void transfer_local(const Get& get, const OnAnswer& on);

} // namespace capsul::fetch
