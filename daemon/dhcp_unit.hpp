// The systemd unit of a network's DHCP server. Pure.
#pragma once

#include "lib/network.hpp"

#include <filesystem>
#include <string>

namespace capsul {

/// dnsmasq, as Debian has it.
inline constexpr const char* dnsmasq_program = "/usr/sbin/dnsmasq";

/// Whether a network has such a unit: with DHCP, and each VPN, whose names it answers for.
[[nodiscard]] bool has_dhcp_unit(const NetworkRecord& network);

/// The sealed text of capsul-dhcp-NAME.service. It starts with the network's unit and stops with it. `folder`
/// is the network's, whose folder dhcp/ holds dnsmasq.conf and hosts, and dns/, of a VPN, the names;
/// `programs` that of capsul's own.
[[nodiscard]] std::string dhcp_unit(const NetworkRecord& network, const std::filesystem::path& folder,
                                    const std::filesystem::path& programs);

} // namespace capsul
