// Networks as they are shown, and what VMs have on them.
#pragma once

#include "daemon/store.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "lib/network.hpp"

#include <map>
#include <string>
#include <vector>

namespace capsul {

class NetworkVpn;

struct PluggedNic {
    Name vm;
    Nic nic;
};

/// The NICs of a VM whose record cannot be read, as far as its net-setup.sh tells: nobody else gets what it
/// has. On a bridge that several networks are on, one for each of them.
[[nodiscard]] std::vector<Nic> nics_of_broken(Store& store, const Name& vm);

/// The NICs of all VMs, in the order of the VMs' names.
[[nodiscard]] std::vector<PluggedNic> plugged_nics(Store& store);

/// The VMs with a NIC on each network, in the order of their names.
[[nodiscard]] std::map<Name, std::vector<Name>> vms_by_network(Store& store);

/// The record of a network that VMs can be plugged into. Throws Error: not_found (with a hint of what there
/// is), wrong_state when it is broken.
[[nodiscard]] NetworkRecord usable_network(Records<NetworkRecord>& networks, const Name& name);

/// Thread-safe.
class NetworkView {
  public:
    NetworkView(const Paths& paths, Store& store, SystemdClient& systemd, const NetworkVpn& vpn)
        : store_(store), systemd_(systemd), units_(paths), vpn_(vpn) {}

    /// Two bus calls, however many there are.
    [[nodiscard]] std::vector<Network> list() const;
    /// Throws Error: not_found.
    [[nodiscard]] Network show(const Name& name) const;
    /// The addresses in use or kept, sorted. Throws as usable_network does.
    [[nodiscard]] std::vector<Lease> leases(const Name& name) const;

  private:
    struct States {
        std::string network; ///< ActiveState of its unit
        std::string dhcp;    ///< and of its DHCP server's
        std::string vpn;     ///< and of its tincd's
    };
    [[nodiscard]] Network describe(const Stored<NetworkRecord>& stored, std::vector<Name> vms,
                                   const States& states) const;

    Store& store_;
    SystemdClient& systemd_;
    const UserUnits units_;
    const NetworkVpn& vpn_;
};

} // namespace capsul
