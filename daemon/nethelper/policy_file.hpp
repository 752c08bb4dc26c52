// Reading the policy, so that nobody but root can have written it.
#pragma once

#include "daemon/nethelper/policy.hpp"

namespace capsul::nethelper {

using PolicyText = std::array<char, max_policy_bytes + 1>;

/// The host's policy. Ends the program (Exit::unsafe) unless every folder on the way and the file itself
/// belong to root, nobody else may write them, none is a link, and all of the text is good. `text` must
/// outlive the result.
void read_host_policy(Policy& policy, PolicyText& text);

/// A draft of one, whoever owns it, by the rights of the caller.
void read_draft(const char* file, Policy& policy, PolicyText& text);

} // namespace capsul::nethelper
