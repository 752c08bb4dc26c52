// The sandbox that capsul's units of untrusted or exposed programs have in common. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace capsul {

/// Lines of a [Service] section. What a unit needs beyond it (its files, RestrictAddressFamilies=), it adds.
[[nodiscard]] std::string_view sandbox_lines();

/// Lets capsul's own programs run in the sandbox, whose folder may be outside /usr (an installation in a
/// home) and then must be seen through it.
[[nodiscard]] std::string program_lines(const std::filesystem::path& programs);

} // namespace capsul
