// Networks: made, started, stopped, listed, removed; and what they lend to VMs.
#pragma once

#include "daemon/event_log.hpp"
#include "daemon/network_dhcp.hpp"
#include "daemon/network_power.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/store.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "lib/network.hpp"

#include <set>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

namespace capsul {

/// Thread-safe.
class NetworkService {
  public:
    /// `programs` is the folder of capsul's own programs.
    NetworkService(const Paths& paths, const fs::path& programs, Store& store, OperationService& operations,
                   EventLog& events, SystemdClient& systemd);

    /// Removes what a crash left of networks that were being made or deleted. Called once, before anything
    /// else.
    void sweep();

    [[nodiscard]] std::vector<Network> list();
    [[nodiscard]] Network show(const Name& name);
    [[nodiscard]] std::vector<Lease> leases(const Name& name);
    Operation create(const NetworkCreate& call);
    Operation set(const NetworkSet& call);
    Operation start(const Name& name);
    Operation stop(const Name& name);
    Operation remove(const Name& name);
    Operation reserve(const NetworkReserve& call);
    Operation release(const NetworkRelease& call);

    /// capsul-net, as scripts call it.
    [[nodiscard]] const fs::path& helper() const noexcept { return power_.helper(); }
    /// No network is stopped or removed while the result lives.
    [[nodiscard]] std::shared_lock<std::shared_mutex> hold() { return std::shared_lock(in_use_); }
    /// The record of a network that VMs can be plugged into. Throws Error: not_found (with a hint of what
    /// there is), wrong_state when it is broken.
    [[nodiscard]] NetworkRecord usable(const Name& name);
    /// Refuses, in words for whoever starts a VM, when its unit could not come up: its bridge is missing.
    /// Brings its files up to date.
    void prepare(const Name& name);
    /// VMs' NICs on these networks have come or gone.
    void nics_changed(const std::vector<Name>& networks) { dhcp_.nics_changed(networks); }
    /// The names of interfaces that are taken, in use or promised.
    [[nodiscard]] std::set<std::string> taken_interfaces();

  private:
    template <class Work>
    Operation submit(const char* kind, const Name& name, Work work);
    [[nodiscard]] Error no_such_network(const Name& name);
    Json make(const NetworkCreate& call, Progress& progress);
    [[nodiscard]] NetworkRecord plan(const NetworkCreate& call);
    void choose_dhcp_tap(NetworkRecord& network);
    [[nodiscard]] std::vector<std::pair<Cidr, std::string>> taken_subnets();
    void require_no_running_vm(const Name& name);
    [[nodiscard]] Network describe(const Stored<NetworkRecord>& stored, const std::string& active_state,
                                   const std::string& dhcp_state);

    const Paths& paths_;
    Store& store_;
    OperationService& operations_;
    EventLog& events_;
    SystemdClient& systemd_;
    const UserUnits units_;
    NetworkDhcp dhcp_;
    const NetworkPower power_;
    std::shared_mutex in_use_; ///< shared: a VM is being made or started; exclusive: a network goes
};

/// The VMs with a NIC on a network.
[[nodiscard]] std::vector<Name> vms_on(Records<VmRecord>& vms, const Name& network);

} // namespace capsul
