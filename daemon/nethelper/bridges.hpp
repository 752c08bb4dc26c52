// bridge-add, bridge-del, addr-add, egress: the caller's own bridges.
#pragma once

#include "daemon/nethelper/arguments.hpp"
#include "daemon/nethelper/caller.hpp"
#include "daemon/nethelper/sets.hpp"

namespace capsul::nethelper {

/// A bridge that the caller has made; ends the program (Exit::refused) when `name` is none.
[[nodiscard]] Link own_bridge(const Caller& caller, Links& links, const Name& name);

void add_bridge(const Caller& caller, Links& links, const Name& name);
/// Its elements go, too, and those of one that is not there.
void remove_bridge(const Caller& caller, Links& links, Sets& sets, const Name& name);
void add_address(const Caller& caller, Links& links, const Arguments& arguments);
void set_egress(const Caller& caller, Links& links, Sets& sets, const Arguments& arguments);

} // namespace capsul::nethelper
