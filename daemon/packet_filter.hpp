// What capsul's packet filter (capsul.nft) holds of this user's interfaces.
#pragma once

#include "daemon/systemd_client.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace capsul {

struct FilterFacts {
    /// What `capsul-net list` says of a TAP's addresses: some, "any", "-" (it may send nothing), "off" (the
    /// tables are not loaded) or "?" (capsul-net may not look).
    std::map<std::string, std::string> ips;
    /// Likewise of a bridge: "full no" is its egress, and whether its VMs are isolated.
    std::map<std::string, std::string> bridges;

    /// "?" of one that is not in the list.
    [[nodiscard]] std::string ips_of(const std::string& tap) const;
    /// Whether anything is said as `word`, "off" or "?".
    [[nodiscard]] bool says(std::string_view word) const;
};

/// From what `capsul-net list` prints. Pure; passes over what it does not know.
[[nodiscard]] FilterFacts parse_filter_facts(std::string_view text);

/// Asks capsul-net, by way of a unit: this daemon has no right to look, and gains none. Nothing when it
/// cannot be told. `runtime` is $XDG_RUNTIME_DIR.
[[nodiscard]] std::optional<FilterFacts> ask_packet_filter(SystemdClient& systemd,
                                                           const std::filesystem::path& runtime);

} // namespace capsul
