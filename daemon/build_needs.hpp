// What building an image needs of this host.
#pragma once

#include "lib/image_build.hpp"

#include <string>
#include <string_view>

namespace capsul {

/// Throws Error (not_capable) unless `user` has as many subordinate uids and gids as a Debian needs, by the
/// texts of /etc/subuid and /etc/subgid; its hint is the command that gives them, of a range that is
/// nobody's. Pure.
void require_subordinate_ids(std::string_view subuid, std::string_view subgid, const std::string& user);

/// Throws Error (not_capable), whose hint is the command that mends it, when an image cannot be built here.
void require_build_needs();

} // namespace capsul
