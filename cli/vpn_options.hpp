// The options of a vpn network that create, join and set share.
#pragma once

#include "cli/command.hpp"
#include "lib/network.hpp"

#include <string>
#include <vector>

namespace capsul::cli {

/// As given on the command line.
struct VpnFlags {
    std::string node;
    std::vector<std::string> addresses;
    std::string port;
    std::string slice;
    std::string mtu; ///< create only: who joins has that of the VPN
};

// What completion and help know of them.
inline constexpr const char* egress_type = "full|none|dns-icmp|LIST";
inline constexpr const char* slice_type = "SUBNET";
inline constexpr const char* slice_words = "The part of the subnet that is this host's, vpn only";
inline constexpr const char* address_type = "HOST[:PORT]";
inline constexpr const char* address_words = "Where other hosts reach this one, vpn only";

/// All but --mtu.
void add_vpn_options(CLI::App& command, VpnFlags& flags);

/// The first of them that was given, such as "--slice"; empty for none.
[[nodiscard]] std::string first_given(const VpnFlags& flags);

/// Throws Error (invalid) naming the option.
[[nodiscard]] VpnWishes wishes_from(const VpnFlags& flags);

} // namespace capsul::cli
