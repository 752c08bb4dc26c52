// DHCP of networks, and names of VPNs: the files and the unit of a network's dnsmasq, kept to what the
// records of networks and VMs say.
#pragma once

#include "daemon/store.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "lib/network.hpp"

#include <mutex>

namespace capsul {

/// Refuses what DHCP, or a VPN's names, cannot be had for: invalid (a bridge network, an IPv6 subnet larger
/// than dnsmasq takes), not_capable (dnsmasq is not installed).
void require_dhcp(const NetworkRecord& network);

/// Whether dnsmasq is installed.
[[nodiscard]] bool has_dnsmasq();

/// Thread-safe.
class NetworkDhcp {
  public:
    /// `programs` is the folder of capsul's own programs.
    NetworkDhcp(const Paths& paths, const fs::path& programs, Store& store, SystemdClient& systemd)
        : paths_(paths), programs_(programs), store_(store), systemd_(systemd), units_(paths) {}

    /// Makes what is on disk match the record, and what runs match that. Of a network that has no such unit:
    /// removes it, which must not run.
    void write_files(const NetworkRecord& network);
    /// Throws Error (internal), with what the unit said, when it does not come up.
    void start(const Name& network);
    void stop(const Name& network);
    void remove_unit(const Name& network);
    /// The names that a VPN's dnsmasq answers for, see vpn_hosts_file(): those and no others from now on.
    void write_names(const Name& network, const std::string& hosts_file);
    /// The VMs' NICs on these networks have changed.
    void nics_changed(const std::vector<Name>& networks);

  private:
    enum class Change { none, hosts_added, all };
    [[nodiscard]] Change write_hosts(const Name& network);
    void follow(const Name& network, Change change);
    [[nodiscard]] fs::path folder(const Name& network) const { return paths_.network(network) / "dhcp"; }

    const Paths& paths_;
    const fs::path programs_;
    Store& store_;
    SystemdClient& systemd_;
    const UserUnits units_;
    /// Held from reading the records until dnsmasq knows: the last to change them is not undone.
    std::mutex mutex_;
};

} // namespace capsul
