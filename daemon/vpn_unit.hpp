// The systemd unit of a VPN's tincd. Pure.
#pragma once

#include "lib/network.hpp"

#include <filesystem>
#include <string>

namespace capsul {

/// tincd, as Debian has it.
inline constexpr const char* tincd_program = "/usr/sbin/tincd";

/// The sealed text of capsul-vpn-NAME.service. It starts with the network's unit and stops with it. `folder`
/// is the network's, whose folder tinc/ holds all that tincd reads; `programs` that of capsul's own.
[[nodiscard]] std::string vpn_unit(const NetworkRecord& network, const std::filesystem::path& folder,
                                   const std::filesystem::path& programs);

} // namespace capsul
