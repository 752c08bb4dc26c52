// How networks are shown.
#pragma once

#include "cli/session.hpp"
#include "lib/network.hpp"

#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

[[nodiscard]] std::span<const Column<Network>> network_columns();

/// "network lan", as messages about one begin.
[[nodiscard]] std::string network_subject(const Name& name);

void print_networks(Session& session, const std::vector<Network>& networks);

/// All that is known of one, for a person; or in the form asked for.
void print_network(Session& session, const Network& network);

/// That for a person.
[[nodiscard]] std::string render_network(const Network& network, const OutputOptions& options);

} // namespace capsul::cli
