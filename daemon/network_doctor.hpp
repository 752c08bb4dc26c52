// Whether this host can do bridge and nat networks, and what would mend it.
#pragma once

#include "lib/host.hpp"
#include "lib/network.hpp"

#include <filesystem>
#include <vector>

namespace capsul {

/// Whether capsul's packet filter is loaded, as its system unit says (capsul-nft.service has a folder in /run
/// while it is): only root may ask the kernel.
[[nodiscard]] bool has_packet_filter();

/// Looks at the helper, its group and capability, the policy, forwarding, the packet filter, other firewalls,
/// and the bridges of `networks`. Never throws for what it finds. Where nothing of it was ever set up, one
/// finding says so. `user` is who runs capsuld.
[[nodiscard]] std::vector<Finding> examine_networks(const std::filesystem::path& helper,
                                                    const std::string& user,
                                                    const std::vector<NetworkRecord>& networks);

} // namespace capsul
