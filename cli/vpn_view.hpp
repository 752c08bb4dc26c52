// How a vpn network and its other hosts are shown.
#pragma once

#include "cli/output.hpp"
#include "lib/network.hpp"

#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

[[nodiscard]] std::span<const Column<VpnPeer>> peer_columns();

/// "1/2": how many of the other hosts are reached, of how many; empty for a network that is no VPN.
[[nodiscard]] std::string peers_text(const Network& network);

/// What `network show` says of a vpn network beyond what it says of each; `wide` with all of the identity.
[[nodiscard]] std::vector<Line> vpn_lines(const Network& network, const VpnRecord& record, bool wide);

/// The other hosts as a table for a person; empty without any.
[[nodiscard]] std::string render_peers(const std::vector<VpnPeer>& peers, const OutputOptions& options);

} // namespace capsul::cli
