// The scripts that set networks and the interfaces of VMs up and down, through the privileged helper. Pure.
//
// Each can be run by hand, again, in any order and after a crash: what is there is looked at when the script
// runs. What tears down tries everything and exits with the first error.
#pragma once

#include "lib/network.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace capsul {

/// A NIC on a tap, with what its network says about it.
struct TapPlan {
    InterfaceName tap;
    InterfaceName bridge;
    Mac mac;
    std::vector<IpAddress> addresses; ///< that the guest may use
    bool any_address = false;         ///< capsul does not know them: the network gives them out itself
    bool isolated = false;
    bool operator==(const TapPlan&) const = default;
};

/// networks/NAME/setup.sh and teardown.sh. `helper` is the path of capsul-net.
[[nodiscard]] std::string network_setup(const NetworkRecord& network, const std::filesystem::path& helper);
[[nodiscard]] std::string network_teardown(const NetworkRecord& network, const std::filesystem::path& helper);

/// vms/NAME/net-setup.sh and net-teardown.sh. `gone`: taps that both take away, since their NIC has been.
[[nodiscard]] std::string tap_setup(const Name& vm, const std::vector<TapPlan>& taps,
                                    const std::vector<InterfaceName>& gone,
                                    const std::filesystem::path& helper);
/// What such a net-setup.sh sets up. Throws Error (invalid) where it is not as tap_setup writes it.
[[nodiscard]] std::vector<TapPlan> read_tap_setup(const std::string& script);
[[nodiscard]] std::string tap_teardown(const Name& vm, const std::vector<TapPlan>& taps,
                                       const std::vector<InterfaceName>& gone,
                                       const std::filesystem::path& helper);

} // namespace capsul
