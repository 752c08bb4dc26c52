#include "daemon/network_service.hpp"

#include "daemon/ipam.hpp"
#include "daemon/journal.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_plan.hpp"
#include "daemon/network_unit.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mutex>
#include <set>

namespace capsul {
namespace {

using namespace std::chrono_literals;

std::vector<std::string> texts(const std::vector<Name>& names) {
    std::vector<std::string> result;
    for (const Name& name : names) {
        result.push_back(name.to_string());
    }
    return result;
}

} // namespace

std::vector<Name> vms_on(Records<VmRecord>& vms, const Name& network) {
    std::vector<Name> found;
    for (const auto& vm : vms.list()) {
        if (vm.record &&
            std::ranges::any_of(vm.record->nics, [&](const Nic& nic) { return nic.network == network; })) {
            found.push_back(vm.name);
        }
    }
    return found;
}

NetworkService::NetworkService(const Paths& paths, const fs::path& programs, Store& store,
                               OperationService& operations, EventLog& events, SystemdClient& systemd)
    : paths_(paths), store_(store), operations_(operations), events_(events), systemd_(systemd),
      units_(paths), dhcp_(paths, programs, store, systemd),
      power_(paths, programs / "capsul-net", store, systemd, dhcp_) {}

void NetworkService::sweep() {
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator(paths_.networks(), failure)) {
        try {
            const Name name = Name::parse(entry.path().filename().string());
            if (entry.is_directory() && !fs::exists(entry.path() / "network.toml")) {
                power_.bring_down(name);
                power_.erase(name);
            }
        } catch (const std::exception&) {
            // No folder of ours, or one that cannot be removed now: it stays until the next start.
        }
    }
}

std::vector<Network> NetworkService::list() {
    std::map<std::string, std::string> active;
    for (const char* pattern : {"capsul-net-*.service", "capsul-dhcp-*.service"}) {
        for (UnitStatus& unit : systemd_.list(pattern)) {
            active.emplace(std::move(unit.name), std::move(unit.active_state));
        }
    }
    const auto state = [&](const std::string& unit) {
        const auto found = active.find(unit);
        return found == active.end() ? "inactive" : found->second;
    };
    std::vector<Network> networks;
    for (const auto& stored : store_.networks.list()) {
        networks.push_back(
            describe(stored, state(network_unit_name(stored.name)), state(dhcp_unit_name(stored.name))));
    }
    return networks;
}

Network NetworkService::show(const Name& name) {
    const auto stored = store_.networks.find(name);
    if (!stored) {
        throw no_such_network(name);
    }
    const std::string unit = network_unit_name(name);
    const ServiceStatus status = systemd_.status(unit);
    const bool has_dhcp = stored->record && stored->record->dhcp;
    Network network = describe(*stored, status.active_state,
                               has_dhcp ? systemd_.status(dhcp_unit_name(name)).active_state : std::string());
    if (network.state == NetworkState::failed) {
        network.reason =
            fmt::format("{}", fmt::join(journal_lines(unit, {status.invocation_id, 0}, 3, 0ms), "; "));
    } else if (network.dhcp == NetworkState::failed) {
        network.reason = fmt::format("its DHCP server has failed: {}",
                                     fmt::join(journal_lines(dhcp_unit_name(name), {}, 3, 0ms), "; "));
    }
    return network;
}

Network NetworkService::describe(const Stored<NetworkRecord>& stored, const std::string& active_state,
                                 const std::string& dhcp_state) {
    Network network;
    network.name = stored.name;
    network.unit = network_unit_name(stored.name);
    network.enabled = units_.is_enabled(network.unit);
    network.state = state_of_unit<NetworkState>(active_state);
    network.vms = vms_on(store_.vms, stored.name);
    if (!stored.record) {
        network.state = NetworkState::broken;
        network.reason = stored.broken;
        return network;
    }
    network.spec = *stored.record;
    if (network.spec->dhcp) {
        network.dhcp = state_of_unit<NetworkState>(dhcp_state);
    }
    if (!fs::is_regular_file(units_.file(network.unit))) {
        network.state = NetworkState::broken;
        network.reason = "its unit file is missing or masked; `capsulctl network start` writes it anew";
    }
    return network;
}

std::vector<Lease> NetworkService::leases(const Name& name) {
    const NetworkRecord network = usable(name);
    std::map<IpAddress, Lease> leases;
    for (const auto& gateway : {network.gateway, network.gateway6}) {
        if (gateway) {
            leases[*gateway] = {*gateway, "gateway", {}, {}};
        }
    }
    for (const Reservation& reservation : network.reservations) {
        leases[reservation.ip] = {reservation.ip, "reserved", reservation.vm, {}};
    }
    for (const auto& vm : store_.vms.list()) {
        for (const Nic& nic : vm.record ? vm.record->nics : std::vector<Nic>()) {
            for (const auto& ip : {nic.ip, nic.ip6}) {
                if (ip && nic.network == name) {
                    leases[*ip] = {*ip, "vm", vm.name, nic.mac};
                }
            }
        }
    }
    std::vector<Lease> result;
    for (auto& [ip, lease] : leases) {
        result.push_back(std::move(lease));
    }
    return result;
}

NetworkRecord NetworkService::usable(const Name& name) {
    const auto stored = store_.networks.find(name);
    if (stored && stored->record) {
        return *stored->record;
    }
    if (stored) {
        throw Error(ErrorCode::wrong_state,
                    about_network(name, "its record cannot be used: " + stored->broken));
    }
    throw no_such_network(name);
}

/// The error (not_found) about a network that there is not.
Error NetworkService::no_such_network(const Name& name) {
    std::vector<std::string> names;
    for (const auto& other : store_.networks.list()) {
        names.push_back(other.name.to_string());
    }
    return {ErrorCode::not_found, about_network(name, "does not exist"),
            names.empty() ? "`capsulctl network create " + name.to_string() + "` makes it"
                          : fmt::format("networks there are: {}", fmt::join(names, ", "))};
}

/// All actions on networks run one after the other: so two cannot get the same subnet or bridge.
template <class Work>
Operation NetworkService::submit(const char* kind, const Name& name, Work work) {
    return operations_.submit(kind, name.to_string(), "networks",
                              [work](Progress& progress) { return encode(work(progress)); });
}

Operation NetworkService::create(const NetworkCreate& call) {
    static_cast<void>(plan(call)); // what is wrong is told at once
    return operations_.submit("network.create", call.name.to_string(), "networks",
                              [this, call](Progress& progress) { return make(call, progress); });
}

Json NetworkService::make(const NetworkCreate& call, Progress& progress) {
    const NetworkRecord network = plan(call);
    try {
        power_.write_files(network);
        store_.networks.save(network);
        if (call.start) {
            power_.bring_up(network, progress);
        }
    } catch (...) {
        power_.undo(call.name);
        throw;
    }
    events_.add("network.created", call.name.to_string());
    return encode(show(call.name));
}

NetworkRecord NetworkService::plan(const NetworkCreate& call) {
    if (call.name.to_string() == user_network) {
        throw Error(ErrorCode::invalid, "name: 'user' is QEMU's own network, which is always there");
    }
    if (store_.networks.exists(call.name) || fs::exists(paths_.network(call.name))) {
        throw Error(ErrorCode::exists, about_network(call.name, "exists already"),
                    "choose another name, or delete it with `capsulctl network delete " +
                        call.name.to_string() + "`");
    }
    NetworkRecord network = network_record(call);
    if (network.dhcp) {
        require_dhcp(network);
    }
    const NetGrants grants = read_net_grants(helper());
    if (network.type == NetworkType::bridge) {
        plan_bridge(network, grants, find_link(network.bridge.to_string()));
    } else {
        plan_nat(network, grants, {taken_interfaces(), taken_subnets()});
    }
    choose_dhcp_tap(network);
    check_addressing(network);
    return network;
}

/// The TAP's name stays when DHCP is switched off: the scripts take it away by it.
void NetworkService::choose_dhcp_tap(NetworkRecord& network) {
    if (!network.dhcp || network.dhcp_tap) {
        return;
    }
    auto taken = taken_interfaces();
    taken.insert(network.bridge.to_string());
    network.dhcp_tap =
        interface_name(read_net_grants(helper()).prefix, network.name.to_string() + "-dhcp", taken);
}

std::set<std::string> NetworkService::taken_interfaces() {
    std::set<std::string> names;
    for (const Link& link : all_links()) {
        names.insert(link.name);
    }
    for (const auto& network : store_.networks.list()) {
        if (network.record) {
            names.insert(network.record->bridge.to_string());
            if (network.record->dhcp_tap) {
                names.insert(network.record->dhcp_tap->to_string());
            }
        }
    }
    for (const auto& vm : store_.vms.list()) {
        for (const Nic& nic : vm.record ? vm.record->nics : std::vector<Nic>()) {
            if (nic.tap) {
                names.insert(nic.tap->to_string());
            }
        }
    }
    return names;
}

/// And by what each is taken.
std::vector<std::pair<Cidr, std::string>> NetworkService::taken_subnets() {
    std::vector<std::pair<Cidr, std::string>> subnets;
    for (const HostRoute& route : host_routes()) {
        subnets.emplace_back(route.destination, "a route of this host");
    }
    for (const auto& network : store_.networks.list()) {
        if (!network.record) {
            continue;
        }
        for (const auto& subnet : {network.record->subnet, network.record->subnet6}) {
            if (subnet) {
                subnets.emplace_back(*subnet, "the network " + network.name.to_string());
            }
        }
    }
    return subnets;
}

void NetworkService::prepare(const Name& name) {
    const NetworkRecord network = usable(name);
    NetworkPower::require_bridge(network);
    power_.write_files(network);
}

Operation NetworkService::set(const NetworkSet& call) {
    if (usable(call.name).type != NetworkType::nat && call.egress) {
        throw Error(ErrorCode::invalid, "egress: is of nat networks only");
    }
    if (call.dhcp.value_or(false)) {
        require_dhcp(usable(call.name));
    }
    return submit("network.set", call.name, [this, call](Progress&) {
        const NetworkRecord before = usable(call.name);
        NetworkRecord network = before;
        network.egress = call.egress.value_or(network.egress);
        network.dns = call.dns.value_or(network.dns);
        network.dhcp = call.dhcp.value_or(network.dhcp);
        choose_dhcp_tap(network);
        try {
            power_.apply(network);
        } catch (...) {
            power_.go_back(before);
            throw;
        }
        events_.add("network.changed", call.name.to_string());
        return show(call.name);
    });
}

Operation NetworkService::start(const Name& name) {
    static_cast<void>(usable(name));
    return submit("network.start", name, [this, name](Progress& progress) {
        const NetworkRecord network = usable(name);
        prepare(name);
        power_.bring_up(network, progress);
        events_.add("network.started", name.to_string());
        return show(name);
    });
}

Operation NetworkService::stop(const Name& name) {
    static_cast<void>(show(name));
    return submit("network.stop", name, [this, name](Progress& progress) {
        const std::unique_lock lock(in_use_);
        require_no_running_vm(name);
        progress.message("taking it down");
        units_.set_enabled(network_unit_name(name), false);
        power_.bring_down(name);
        events_.add("network.stopped", name.to_string());
        return show(name);
    });
}

void NetworkService::require_no_running_vm(const Name& name) {
    const auto on_it = texts(vms_on(store_.vms, name));
    std::vector<std::string> running;
    for (const UnitStatus& unit : systemd_.list("capsul-vm-*.service")) {
        const auto vm = vm_of_unit(unit.name);
        if (vm && !is_stopped(unit.active_state) &&
            std::ranges::find(on_it, vm->to_string()) != on_it.end()) {
            running.push_back(vm->to_string());
        }
    }
    std::ranges::sort(running);
    if (!running.empty()) {
        throw Error(ErrorCode::in_use,
                    about_network(name, fmt::format("VMs run on it: {}", fmt::join(running, ", "))),
                    fmt::format("`capsulctl stop {}` first", fmt::join(running, " ")));
    }
}

Operation NetworkService::remove(const Name& name) {
    static_cast<void>(show(name));
    return submit("network.delete", name, [this, name](Progress& progress) {
        const std::unique_lock lock(in_use_);
        const Network before = show(name);
        if (!before.vms.empty()) {
            throw Error(ErrorCode::in_use,
                        about_network(name, fmt::format("VMs have a NIC on it: {}",
                                                        fmt::join(texts(before.vms), ", "))),
                        "take it away with `capsulctl vm nic rm`, or delete them");
        }
        progress.message("removing it");
        units_.set_enabled(before.unit, false);
        power_.bring_down(name);
        power_.erase(name);
        if (!systemd_.list(before.unit).empty()) {
            systemd_.reload();
        }
        events_.add("network.deleted", name.to_string());
        return before;
    });
}

Operation NetworkService::reserve(const NetworkReserve& call) {
    static_cast<void>(usable(call.name));
    return submit("network.reserve", call.name, [this, call](Progress&) {
        NetworkRecord network = usable(call.name);
        TakenAddresses taken;
        for (const Lease& lease : leases(call.name)) {
            if (lease.use == "vm") {
                taken.emplace(lease.ip, *lease.vm);
            }
        }
        check_address(network, call.ip, call.vm, taken);
        const Reservation wanted{call.ip, call.vm};
        if (std::ranges::find(network.reservations, wanted) == network.reservations.end()) {
            network.reservations.push_back(wanted);
            store_.networks.save(network);
        }
        return show(call.name);
    });
}

Operation NetworkService::release(const NetworkRelease& call) {
    static_cast<void>(usable(call.name));
    return submit("network.release", call.name, [this, call](Progress&) {
        NetworkRecord network = usable(call.name);
        if (std::erase_if(network.reservations, [&](const auto& kept) { return kept.ip == call.ip; }) == 0) {
            throw Error(ErrorCode::not_found,
                        about_network(call.name, call.ip.to_string() + " is not kept for a VM"));
        }
        store_.networks.save(network);
        return show(call.name);
    });
}

} // namespace capsul
