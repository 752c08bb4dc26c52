// The systemd units that build an image and clear up after a build. Pure.
#pragma once

#include "lib/image_build.hpp"
#include "lib/mac.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace capsul {

/// How long a build may take: enough for a slow mirror.
inline constexpr std::chrono::hours build_limit{2};

/// Where a build is.
struct BuildPlace {
    Uuid id;
    std::filesystem::path output;   ///< capsul's, for what is made
    std::filesystem::path scratch;  ///< that the build makes: on a real disk, where every user may go
    std::filesystem::path log;      ///< of all that it says
    std::filesystem::path programs; ///< the folder of capsul's own programs
};

/// "capsul-build-ID.service": of the build, and afterwards of clearing up if that is needed.
[[nodiscard]] std::string build_unit_name(const Uuid& id);
/// The ID in the name of one of them; nothing for any other.
[[nodiscard]] std::optional<Uuid> build_of_unit(std::string_view unit);

/// Its sealed text: a start lasts until the image is there.
[[nodiscard]] std::string build_unit(const BuildPlace& place, const ImageBuild& call);

/// The sealed text of the unit that removes what is left in the scratch folder.
[[nodiscard]] std::string build_removal_unit(const BuildPlace& place);

} // namespace capsul
