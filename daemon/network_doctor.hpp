// Whether this host can do bridge and nat networks, and what would mend it.
#pragma once

#include "daemon/packet_filter.hpp"
#include "lib/host.hpp"
#include "lib/network.hpp"

#include <filesystem>
#include <optional>
#include <vector>

namespace capsul {

/// Looks at the helper, its group and capability, the policy, forwarding, the packet filter, other firewalls,
/// and the bridges of `networks`. Never throws for what it finds. Where nothing of it was ever set up, one
/// finding says so. `user` is who runs capsuld; `filter` is nothing when it could not be told.
[[nodiscard]] std::vector<Finding> examine_networks(const std::filesystem::path& helper,
                                                    const std::string& user,
                                                    const std::vector<NetworkRecord>& networks,
                                                    const std::optional<FilterFacts>& filter);

} // namespace capsul
