// Whether the sandbox that a VM's unit asks for is there. systemd (252) ignores most of it silently where it
// cannot have it, and a drop-in may switch parts of it off, so it is looked at from inside.
#pragma once

#include "daemon/launcher/options.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace capsul::launcher {

/// The directives (systemd.exec(5)) that are not in force for this process, by what it can see and do. Empty
/// when the sandbox is whole. May leave this process in a user namespace of its own when it is not: then it
/// must end.
[[nodiscard]] std::vector<std::string> missing_directives(const Options& options);

/// Whether a uid_map (user_namespaces(7)) maps but the one or two users that a unit with PrivateUsers=yes
/// has.
[[nodiscard]] bool maps_few_users(std::string_view uid_map);

} // namespace capsul::launcher
