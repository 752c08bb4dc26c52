// The units by which capsul-fetch downloads. Pure.
#pragma once

#include "daemon/fetch_folder.hpp"
#include "lib/name.hpp"

#include <chrono>
#include <filesystem>
#include <string>

namespace capsul {

/// As long as a download may take, however slow the network is: it goes on where it was if it is started
/// again.
inline constexpr std::chrono::hours disk_fetch_limit{24};
inline constexpr std::chrono::minutes catalogue_fetch_limit{15};

/// "capsul-fetch-ID.service".
[[nodiscard]] std::string fetch_unit_name(const Name& id);

/// Where what there is to fetch, and for whom.
struct FetchPlace {
    Name id;
    std::filesystem::path folder;   ///< where request.json is; is there before the unit starts
    std::filesystem::path data;     ///< capsul's own, of which nothing but `folder` is seen
    std::filesystem::path programs; ///< of capsul's own programs
};

/// The sealed text of a unit whose start lasts until `folder` has result.json. What the request names on this
/// host (keyrings, and files by file: URLs) can be read.
[[nodiscard]] std::string fetch_unit(const FetchPlace& place, const DiskRequest& request);
[[nodiscard]] std::string fetch_unit(const FetchPlace& place, const CatalogueRequest& request);

} // namespace capsul
