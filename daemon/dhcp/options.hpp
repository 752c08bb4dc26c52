// The command line of capsul-dhcp. Pure.
#pragma once

#include "daemon/dhcp/addresses.hpp"

#include <string>
#include <vector>

namespace capsul::dhcp {

constexpr const char* usage =
    R"(usage: capsul-dhcp --bridge NAME --trunk TAP --address IP/LENGTH [--address IP/LENGTH] --ro FOLDER -- SERVER [ARGUMENT]...

Runs SERVER, a DHCP server, in a network of its own, in which it is the host's end of the bridge: there it has the rights
that it needs, and none on the host. Between the two only DHCP and router advertisements pass. Ends when SERVER does.

  --bridge NAME        the bridge whose guests are served
  --trunk TAP          a TAP in that bridge that the caller may open: capsul-net trunk-add TAP BRIDGE --no-learning
  --address IP/LENGTH  the bridge's own address: one of IPv4, one of IPv6, or both
  --ro FOLDER          what SERVER reads its configuration from
SIGHUP is passed on to SERVER. Exit status: 2 wrong usage, 78 the sandbox of its unit is not there, 1 another failure.
)";

struct Options {
    std::string bridge;
    std::string trunk;
    std::vector<Prefix> addresses; ///< at most one of each family, and at least one
    std::vector<std::string> read_only;
    std::vector<std::string> command; ///< its first word is an absolute path
};

/// From the words after the program's name. Throws std::invalid_argument with a sentence for whoever typed
/// them.
[[nodiscard]] Options parse_options(const std::vector<std::string>& words);

} // namespace capsul::dhcp
