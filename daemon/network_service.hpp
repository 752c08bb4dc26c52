// Networks: made, started, stopped, listed, removed; and what they lend to VMs.
#pragma once

#include "daemon/event_log.hpp"
#include "daemon/network_claims.hpp"
#include "daemon/network_dhcp.hpp"
#include "daemon/network_power.hpp"
#include "daemon/network_view.hpp"
#include "daemon/network_vpn.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/store.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "daemon/vpn_plan.hpp"
#include "lib/config.hpp"
#include "lib/vpn_calls.hpp"

#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

namespace capsul {

/// Thread-safe.
class NetworkService {
  public:
    /// `programs` is the folder of capsul's own programs.
    NetworkService(const Paths& paths, const VpnConfig& config, const fs::path& programs, Store& store,
                   OperationService& operations, EventLog& events, SystemdClient& systemd);

    /// Removes what a crash left of networks that were being made or deleted. Called once, before anything
    /// else.
    void sweep();
    /// Makes what runs match the records, where a crash may have come between. Called once, after `sweep`.
    void follow_records();

    [[nodiscard]] std::vector<Network> list() const { return view_.list(); }
    [[nodiscard]] Network show(const Name& name) const { return view_.show(name); }
    [[nodiscard]] std::vector<Lease> leases(const Name& name) const { return view_.leases(name); }
    Operation create(const NetworkCreate& call);
    Operation set(const NetworkSet& call);
    Operation start(const Name& name);
    Operation stop(const Name& name);
    Operation remove(const Name& name);
    Operation reserve(const NetworkReserve& call);
    Operation release(const NetworkRelease& call);
    Operation join(const NetworkJoin& call);
    Operation export_vpn(const NetworkExport& call);
    Operation add_peer(const NetworkPeerAdd& call);
    Operation remove_peer(const NetworkPeerRemove& call);
    Operation invite(const NetworkInvite& call);
    Operation sync(const NetworkPeerSync& call);
    Operation check(const NetworkCheck& call);
    /// Takes in what other hosts tell, as it comes; until `stop_hearing`.
    void hear();
    void stop_hearing() { vpn_.inboxes().stop(); }

    /// capsul-net, as scripts call it.
    [[nodiscard]] const fs::path& helper() const noexcept { return power_.helper(); }
    /// No network is stopped or removed while the result lives.
    [[nodiscard]] std::shared_lock<std::shared_mutex> hold() { return std::shared_lock(in_use_); }
    /// See usable_network.
    [[nodiscard]] NetworkRecord usable(const Name& name) const {
        return usable_network(store_.networks, name);
    }
    /// Refuses, in words for whoever starts a VM, when its unit could not come up: its bridge is missing.
    /// Brings its files up to date.
    void prepare(const Name& name);
    /// VMs' NICs on these networks have come or gone.
    void nics_changed(const std::vector<Name>& networks) {
        dhcp_.nics_changed(networks);
        vpn_.nics_changed(networks);
    }
    /// The names of interfaces that are taken, in use or promised.
    [[nodiscard]] std::set<std::string> taken_interfaces() const { return capsul::taken_interfaces(store_); }
    /// See network_claims.
    [[nodiscard]] TakenAddresses taken_addresses(const NetworkRecord& network) const {
        return capsul::taken_addresses(store_, network);
    }
    [[nodiscard]] std::set<Name> on_bridge(const InterfaceName& bridge) const {
        return networks_on(store_, bridge);
    }

  private:
    /// All actions on networks run one after the other: so two cannot get the same subnet or bridge.
    template <class Work>
    Operation submit(const char* kind, const Name& name, Work work) {
        return operations_.submit(kind, name.to_string(), "networks",
                                  [work](Progress& progress) { return encode(work(progress)); });
    }
    Network make(NetworkRecord network, const VpnBook& book, bool start, Progress& progress);
    void require_free(const Name& name);
    [[nodiscard]] NetworkRecord plan(const NetworkCreate& call);
    [[nodiscard]] NetworkRecord plan_join(const NetworkJoin& call);
    [[nodiscard]] VpnHost vpn_host(const VpnWishes& wishes);
    [[nodiscard]] NetworkRecord usable_vpn(const Name& name) const;
    /// Refuses (wrong_state) one whose tincd does not run.
    [[nodiscard]] NetworkRecord running_vpn(const Name& name) const;
    NetworkRecord settled_vpn(const Name& name);
    void change_slice(NetworkRecord& network, const Cidr& slice);
    void save_book(NetworkRecord network, const VpnBook& book);
    void take_in(const Name& name);
    void take_in_soon(const Name& name);
    void listen_to_inboxes();
    [[nodiscard]] std::vector<VpnAddress> invitation_addresses(const NetworkInvite& call,
                                                               std::uint16_t port) const;
    void require_no_running_vm(const Name& name);

    const Paths& paths_;
    const VpnConfig& config_;
    Store& store_;
    OperationService& operations_;
    EventLog& events_;
    SystemdClient& systemd_;
    const UserUnits units_;
    NetworkDhcp dhcp_;
    NetworkVpn vpn_;
    const NetworkView view_;
    const NetworkPower power_;
    std::mutex hearing_mutex_;
    std::set<Name> to_take_in_; ///< networks whose inbox an operation will look into that has not begun
    std::shared_mutex
        in_use_; ///< shared: a VM is being made or started; exclusive: a network goes, or keeps an address
};

} // namespace capsul
