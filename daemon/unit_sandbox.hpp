// The sandbox that capsul's units of untrusted or exposed programs have in common. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// Lines of a [Service] section for a program that makes no namespaces. What a unit needs beyond them (its
/// files, RestrictAddressFamilies=), it adds.
[[nodiscard]] std::string sandbox_lines();

/// The same but for what the making of a namespace needs: the unit adds RestrictNamespaces= of its own, and
/// /proc is writable, where a new namespace's users are written.
[[nodiscard]] std::string nesting_sandbox_lines();

/// What is seen of the disk: capsul's own programs, which may be outside /usr (an installation in a home),
/// run; the user's home and the folders in `emptied` are there but empty, until the unit shows some of what
/// is in them.
[[nodiscard]] std::string disk_lines(const std::filesystem::path& programs,
                                     const std::vector<std::filesystem::path>& emptied);

} // namespace capsul
