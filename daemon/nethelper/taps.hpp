// tap-add, trunk-add, tap-del: the caller's TAPs.
#pragma once

#include "daemon/nethelper/arguments.hpp"
#include "daemon/nethelper/caller.hpp"
#include "daemon/nethelper/sets.hpp"

namespace capsul::nethelper {

/// Makes the TAP, or makes an existing one exactly so. Refused for what is not the caller's or is plugged in
/// elsewhere.
void add_tap(const Caller& caller, Links& links, Sets& sets, const Arguments& arguments);
void add_trunk(const Caller& caller, Links& links, Sets& sets, const Arguments& arguments);
/// Its elements go, too, and those of one that is not there.
void remove_tap(const Caller& caller, Links& links, Sets& sets, const Name& name);

} // namespace capsul::nethelper
