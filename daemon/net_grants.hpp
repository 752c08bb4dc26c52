// What the administrator lets this user do with the host's network: the user's lines of net.policy(5), as
// capsul-net(8) tells them.
#pragma once

#include "lib/network.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace capsul {

struct NetGrants {
    std::string prefix;                 ///< with which the names of all interfaces of capsul's begin
    std::vector<Cidr> subnets;          ///< from which bridges of its own get addresses
    std::vector<InterfaceName> bridges; ///< of the administrator's, that TAPs may be plugged into
    std::vector<std::pair<InterfaceName, Cidr>> addresses; ///< that guests on those may have
    bool own_bridges = false;
    bool nat = false;
};

/// What an administrator types for all that networks need, once: the script that is installed beside
/// `helper`.
[[nodiscard]] std::string host_setup_command(const std::filesystem::path& helper);

/// From what `capsul-net check-policy` prints. Pure. Throws Error (internal) on what it does not know.
[[nodiscard]] NetGrants parse_net_grants(std::string_view text);

/// Asks `helper`. Throws Error (not_capable), with how to set it up, when it is missing or grants nothing.
[[nodiscard]] NetGrants read_net_grants(const std::filesystem::path& helper);

} // namespace capsul
