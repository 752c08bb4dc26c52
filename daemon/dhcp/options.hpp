// The command line of capsul-dhcp. Pure.
#pragma once

#include "daemon/dhcp/addresses.hpp"

#include <optional>
#include <string>
#include <vector>

namespace capsul::dhcp {

constexpr const char* usage =
    R"(usage: capsul-dhcp --bridge NAME|--mac MAC --trunk TAP --address IP/LENGTH [--address IP/LENGTH] [--mtu BYTES] --ro FOLDER... -- SERVER [ARGUMENT]...

Runs SERVER, which is dnsmasq, in a network of its own: there it has the rights that it needs, and none on the host. Ends
when SERVER does.

  --bridge NAME        for DHCP: SERVER is the host's end of this bridge. Between the two only DHCP and router advertisements
                       pass. TRUNK: capsul-net trunk-add TAP BRIDGE --no-learning
  --mac MAC            for names, and DHCP: SERVER is a host of its own, with this MAC. What is for it passes.
                       TRUNK: capsul-net trunk-add TAP BRIDGE --isolated
  --trunk TAP          a TAP in the bridge whose guests are served, that the caller may open
  --address IP/LENGTH  the bridge's, or SERVER's own: one of IPv4, one of IPv6, or both
  --mtu BYTES          of SERVER's interface; 1500 when not given
  --ro FOLDER          what SERVER reads its configuration from
SIGHUP is passed on to SERVER. Exit status: 2 wrong usage, 78 the sandbox of its unit is not there, 1 another failure.
)";

struct Options {
    std::string bridge;     ///< in whose name it serves; empty: in its own
    std::optional<Mac> mac; ///< its own; one of the two is there
    std::string trunk;
    std::vector<Prefix> addresses; ///< at most one of each family, and at least one
    unsigned mtu = 0;              ///< 0: as the kernel has it
    std::vector<std::string> read_only;
    std::vector<std::string> command; ///< its first word is an absolute path
};

/// From the words after the program's name. Throws std::invalid_argument with a sentence for whoever typed
/// them.
[[nodiscard]] Options parse_options(const std::vector<std::string>& words);

} // namespace capsul::dhcp
