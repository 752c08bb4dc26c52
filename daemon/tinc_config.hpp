// What tincd (1.0) reads: tinc.conf(5) and the files of hosts. Pure.
//
// Of another host nothing gets into these files but its name, its addresses and its key, each parsed: so it
// chooses neither what protects the traffic nor what tincd runs.
#pragma once

#include "lib/network.hpp"

#include <string>
#include <vector>

namespace capsul {

/// tinc/tinc.conf. `peers` are called, as far as they say where.
[[nodiscard]] std::string tinc_config(const NetworkRecord& network, const std::vector<VpnNode>& peers);

/// tinc/hosts/NODE of another host.
[[nodiscard]] std::string tinc_host(const VpnNode& peer);

/// tinc/hosts/NODE of this one.
[[nodiscard]] std::string tinc_own_host(const VpnRecord& vpn);

} // namespace capsul
