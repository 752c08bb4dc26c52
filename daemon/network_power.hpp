// Networks brought up, changed, taken down: their files, their units and what systemd does with them. Each
// function blocks until it is done; the caller sees to it that there is one at a time for a network.
#pragma once

#include "daemon/network_dhcp.hpp"
#include "daemon/network_script.hpp"
#include "daemon/network_vpn.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/store.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "lib/network.hpp"

#include <mutex>

namespace capsul {

class NetworkPower {
  public:
    /// `helper` is capsul-net.
    NetworkPower(const Paths& paths, fs::path helper, Store& store, SystemdClient& systemd, NetworkDhcp& dhcp,
                 NetworkVpn& vpn)
        : paths_(paths), helper_(std::move(helper)), store_(store), systemd_(systemd), dhcp_(dhcp), vpn_(vpn),
          units_(paths) {}

    /// capsul-net, as scripts call it.
    [[nodiscard]] const fs::path& helper() const noexcept { return helper_; }

    /// Brings scripts and unit up to date with the record; of a network that nobody knows of yet.
    void write_files(const NetworkRecord& network) const;
    /// The same with the record as it is now, which is returned. Throws as usable_network does.
    NetworkRecord refresh_files(const Name& name) const;
    /// Refuses, in words for whoever starts a VM, a bridge network whose bridge is missing (not_capable).
    static void require_bridge(const NetworkRecord& network);
    /// Starts its unit, now and, if the record says so, at boot. One that is up is repaired. Throws Error,
    /// see script_error, when that fails.
    void bring_up(const NetworkRecord& network, Progress& progress) const;
    /// Makes what is on disk, and what runs, match the record. Throws Error likewise.
    void apply(const NetworkRecord& network) const;
    /// `apply` for the record that there is: after a crash that came between its steps.
    void follow_record(const Name& name) const;
    /// Makes the bridge of a nat network again that somebody has removed while the network is up.
    void repair_bridge(const NetworkRecord& network) const;
    /// `apply` after a change that failed, for a reason that the caller tells: never throws.
    void go_back(const NetworkRecord& before) const;
    /// Throws Error likewise, while something of it is left on the host.
    void bring_down(const Name& name) const;
    /// Removes every file of it. The record goes first: from then on what is left is swept.
    void erase(const Name& name) const;
    /// Takes back a creation that failed, for a reason that the caller tells: never throws.
    void undo(const Name& name) const;

  private:
    void start(const Name& name, const std::string& state) const;
    void repair(const Name& name) const;
    void put_in_force(const NetworkRecord& network) const;
    [[nodiscard]] bool has_links(const Name& name) const;

    const Paths& paths_;
    const fs::path helper_;
    Store& store_;
    SystemdClient& systemd_;
    NetworkDhcp& dhcp_;
    NetworkVpn& vpn_;
    const UserUnits units_;
    /// Held from reading or saving a record until its files are written: the last to change it is not undone.
    mutable std::mutex files_mutex_;
};

} // namespace capsul
