#include "daemon/network_view.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/journal.hpp"
#include "daemon/network_script.hpp"
#include "daemon/network_vpn.hpp"
#include "lib/fd.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// The error (not_found) about a network that there is not.
Error no_such_network(Records<NetworkRecord>& networks, const Name& name) {
    std::vector<std::string> names;
    for (const auto& other : networks.list()) {
        names.push_back(other.name.to_string());
    }
    return {ErrorCode::not_found, about_network(name, "does not exist"),
            names.empty() ? "`capsulctl network create " + name.to_string() + "` makes it"
                          : fmt::format("networks there are: {}", fmt::join(names, ", "))};
}

Nic nic_of(const TapPlan& plan, const Name& network) {
    Nic nic;
    nic.network = network;
    nic.mac = plan.mac;
    nic.tap = plan.tap;
    for (const IpAddress& ip : plan.addresses) {
        (ip.is_ipv6() ? nic.ip6 : nic.ip) = ip;
    }
    return nic;
}

} // namespace

std::vector<Nic> nics_of_broken(Store& store, const Name& vm) {
    std::vector<Nic> nics;
    try {
        const auto script = store.vms.file(vm).parent_path() / "net-setup.sh";
        for (const TapPlan& plan : read_tap_setup(read_file(script))) {
            for (const auto& network : store.networks.list()) {
                if (network.record && network.record->bridge == plan.bridge) {
                    nics.push_back(nic_of(plan, network.name));
                }
            }
        }
    } catch (const std::exception&) {
        // It has no TAPs, or its script is as broken as its record.
    }
    return nics;
}

std::vector<PluggedNic> plugged_nics(Store& store) {
    std::vector<PluggedNic> found;
    for (const auto& vm : store.vms.list()) {
        for (const Nic& nic : vm.record ? vm.record->nics : nics_of_broken(store, vm.name)) {
            found.push_back({vm.name, nic});
        }
    }
    return found;
}

std::map<Name, std::vector<Name>> vms_by_network(Store& store) {
    std::map<Name, std::vector<Name>> found;
    for (const auto& [vm, nic] : plugged_nics(store)) {
        std::vector<Name>& on_it = found[nic.network];
        if (on_it.empty() || on_it.back() != vm) {
            on_it.push_back(vm);
        }
    }
    return found;
}

NetworkRecord usable_network(Records<NetworkRecord>& networks, const Name& name) {
    const auto stored = networks.find(name);
    if (stored && stored->record) {
        return *stored->record;
    }
    if (stored) {
        throw Error(ErrorCode::wrong_state,
                    about_network(name, "its record cannot be used: " + stored->broken),
                    "mend the file, or remove the network");
    }
    throw no_such_network(networks, name);
}

std::vector<Network> NetworkView::list() const {
    std::map<std::string, std::string> active;
    for (const char* pattern : {"capsul-net-*.service", "capsul-dhcp-*.service", "capsul-vpn-*.service"}) {
        for (UnitStatus& unit : systemd_.list(pattern)) {
            active.emplace(std::move(unit.name), std::move(unit.active_state));
        }
    }
    const auto state = [&](const std::string& unit) {
        const auto found = active.find(unit);
        return found == active.end() ? "inactive" : found->second;
    };
    auto vms = vms_by_network(store_);
    std::vector<Network> networks;
    for (const auto& stored : store_.networks.list()) {
        networks.push_back(describe(stored, std::move(vms[stored.name]),
                                    {state(network_unit_name(stored.name)),
                                     state(dhcp_unit_name(stored.name)), state(vpn_unit_name(stored.name))}));
    }
    return networks;
}

Network NetworkView::show(const Name& name) const {
    const auto stored = store_.networks.find(name);
    if (!stored) {
        throw no_such_network(store_.networks, name);
    }
    const std::string unit = network_unit_name(name);
    const ServiceStatus status = systemd_.status(unit);
    const bool has_dhcp = stored->record && has_dhcp_unit(*stored->record);
    const ServiceStatus dhcp = has_dhcp ? systemd_.status(dhcp_unit_name(name)) : ServiceStatus{};
    const bool has_vpn = stored->record && stored->record->vpn;
    const ServiceStatus vpn = has_vpn ? systemd_.status(vpn_unit_name(name)) : ServiceStatus{};
    Network network = describe(*stored, vms_by_network(store_)[name],
                               {status.active_state, dhcp.active_state, vpn.active_state});
    if (network.state == NetworkState::failed) {
        network.reason = fmt::format("{}", fmt::join(journal_lines(status, 3, 0ms), "; "));
    } else if (dhcp.active_state == "failed") {
        network.reason = fmt::format("its {} server has failed: {}", network.dhcp ? "DHCP" : "name",
                                     fmt::join(journal_lines(dhcp, 3, 0ms), "; "));
    }
    return network;
}

Network NetworkView::describe(const Stored<NetworkRecord>& stored, std::vector<Name> vms,
                              const States& states) const {
    Network network;
    network.name = stored.name;
    network.unit = network_unit_name(stored.name);
    network.enabled = units_.is_enabled(network.unit);
    network.state = state_of_unit<NetworkState>(states.network);
    network.vms = std::move(vms);
    if (!stored.record) {
        network.state = NetworkState::broken;
        network.reason = stored.broken;
        return network;
    }
    network.spec = *stored.record;
    if (network.spec->dhcp) {
        network.dhcp = state_of_unit<NetworkState>(states.dhcp);
    }
    if (network.spec->vpn) {
        if (!vpn_.is_inviting(network.name)) {
            network.spec->vpn->invited.reset();
        }
        network.vpn = vpn_.status(*network.spec, state_of_unit<NetworkState>(states.vpn));
    }
    if (!fs::is_regular_file(units_.file(network.unit))) {
        network.state = NetworkState::broken;
        network.reason = fs::exists(units_.file(network.unit))
                             ? "its unit is masked; `systemctl --user unmask " + network.unit + "`"
                             : "its unit file is missing; `capsulctl network start` writes it anew";
    }
    return network;
}

std::vector<Lease> NetworkView::leases(const Name& name) const {
    const NetworkRecord network = usable_network(store_.networks, name);
    std::map<IpAddress, Lease> leases;
    for (const auto& gateway : {network.gateway, network.gateway6}) {
        if (gateway) {
            leases[*gateway] = {*gateway, "gateway", {}, {}};
        }
    }
    for (const Reservation& reservation : network.reservations) {
        leases[reservation.ip] = {reservation.ip, "reserved", reservation.vm, {}};
    }
    for (const auto& [vm, nic] : plugged_nics(store_)) {
        for (const auto& ip : {nic.ip, nic.ip6}) {
            if (ip && nic.network == name) {
                leases[*ip] = {*ip, "vm", vm, nic.mac};
            }
        }
    }
    std::vector<Lease> result;
    for (auto& [ip, lease] : leases) {
        result.push_back(std::move(lease));
    }
    return result;
}

} // namespace capsul
