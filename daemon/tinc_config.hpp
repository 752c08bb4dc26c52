// What tincd (1.0) reads: tinc.conf(5) and the files of hosts. Pure.
//
// Of another host nothing gets into these files but its name, its addresses and its key, each parsed: so it
// chooses neither what protects the traffic nor what tincd runs.
#pragma once

#include "lib/network.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// tinc/tinc.conf. `peers` are called, as far as they say where.
[[nodiscard]] std::string tinc_config(const NetworkRecord& network, const std::vector<VpnNode>& peers);

/// The port in such a file; nothing when there is none in it.
[[nodiscard]] std::optional<std::uint16_t> tinc_port(std::string_view config);

/// tinc/hosts/NODE of another host.
[[nodiscard]] std::string tinc_host(const VpnNode& peer);

/// tinc/hosts/NODE of this one.
[[nodiscard]] std::string tinc_own_host(const VpnRecord& vpn);

} // namespace capsul
