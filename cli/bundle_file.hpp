// What hosts of a VPN hand each other, as files have it.
#pragma once

#include "lib/vpn.hpp"

#include <string>
#include <string_view>

namespace capsul::cli {

/// As `network export` prints it.
[[nodiscard]] std::string bundle_text(const VpnBundle& bundle);

/// From a file, or from standard input for "-". Throws Error naming `option` and the file: what is no bundle
/// is told apart from one that was cut off or changed.
[[nodiscard]] VpnBundle read_bundle(const char* option, const std::string& path);

/// The same of text that is there already; `where` is what the Error names.
[[nodiscard]] VpnBundle parse_bundle(const std::string& where, std::string_view text);

} // namespace capsul::cli
