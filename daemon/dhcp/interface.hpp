// Setting up an interface, over rtnetlink(7).
#pragma once

#include "daemon/dhcp/addresses.hpp"

#include <string>
#include <vector>

namespace capsul::dhcp {

/// Gives the interface this MAC and exactly these addresses, without a search for duplicates, and sets it up.
/// Its MTU stays if that is 0. Throws std::system_error.
void set_up_interface(const std::string& name, const Mac& mac, unsigned mtu,
                      const std::vector<Prefix>& addresses);

} // namespace capsul::dhcp
