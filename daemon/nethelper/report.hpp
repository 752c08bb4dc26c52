// list
#pragma once

#include "daemon/nethelper/links.hpp"
#include "daemon/nethelper/sets.hpp"

namespace capsul::nethelper {

/// What the user has, one a line. Without cap_net_admin, or without the tables, it says so in the place of
/// elements.
void print_links(uid_t uid, Links& links, Sets& sets);

} // namespace capsul::nethelper
