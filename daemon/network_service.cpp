#include "daemon/network_service.hpp"

#include "daemon/host_dns.hpp"
#include "daemon/ipam.hpp"
#include "daemon/journal.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_plan.hpp"
#include "daemon/network_unit.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mutex>
#include <set>

namespace capsul {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::seconds patience{90}; // more than the units' own limits

NetworkState state_of(const std::string& active_state) {
    if (active_state == "active" || active_state == "reloading") {
        return NetworkState::running;
    }
    if (active_state == "activating") {
        return NetworkState::starting;
    }
    if (active_state == "deactivating") {
        return NetworkState::stopping;
    }
    return active_state == "failed" ? NetworkState::failed : NetworkState::stopped;
}

std::string about(const Name& name, const std::string& text) {
    return fmt::format("network {}: {}", name.to_string(), text);
}

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
    : paths_(paths), helper_(programs / "capsul-net"), store_(store), operations_(operations),
      events_(events), systemd_(systemd), units_(paths) {}

void NetworkService::sweep() {
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator(paths_.networks(), failure)) {
        try {
            const Name name = Name::parse(entry.path().filename().string());
            if (entry.is_directory() && !fs::exists(entry.path() / "network.toml")) {
                bring_down(name);
                erase(name);
            }
        } catch (const std::exception&) {
            // No folder of ours, or one that cannot be removed now: it stays until the next start.
        }
    }
}

std::vector<Network> NetworkService::list() {
    std::map<std::string, std::string> active;
    for (UnitStatus& unit : systemd_.list("capsul-net-*.service")) {
        active.emplace(std::move(unit.name), std::move(unit.active_state));
    }
    std::vector<Network> networks;
    for (const auto& stored : store_.networks.list()) {
        const auto found = active.find(network_unit_name(stored.name));
        networks.push_back(describe(stored, found == active.end() ? "inactive" : found->second));
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
    Network network = describe(*stored, status.active_state);
    if (network.state == NetworkState::failed) {
        network.reason =
            fmt::format("{}", fmt::join(journal_lines(unit, status.invocation_id, 3, 0ms), "; "));
    }
    return network;
}

Network NetworkService::describe(const Stored<NetworkRecord>& stored, const std::string& active_state) {
    Network network;
    network.name = stored.name;
    network.unit = network_unit_name(stored.name);
    network.enabled = units_.is_enabled(network.unit);
    network.state = state_of(active_state);
    network.vms = vms_on(store_.vms, stored.name);
    if (!stored.record) {
        network.state = NetworkState::broken;
        network.reason = stored.broken;
        return network;
    }
    network.spec = *stored.record;
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
        throw Error(ErrorCode::wrong_state, about(name, "its record cannot be used: " + stored->broken));
    }
    throw no_such_network(name);
}

/// The error (not_found) about a network that there is not.
Error NetworkService::no_such_network(const Name& name) {
    std::vector<std::string> names;
    for (const auto& other : store_.networks.list()) {
        names.push_back(other.name.to_string());
    }
    return {ErrorCode::not_found, about(name, "does not exist"),
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
        write_files(network);
        store_.networks.save(network);
        if (call.start) {
            bring_up(network, progress);
        }
    } catch (...) {
        bring_down(call.name);
        erase(call.name);
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
        throw Error(ErrorCode::exists, about(call.name, "exists already"),
                    "choose another name, or delete it with `capsulctl network delete " +
                        call.name.to_string() + "`");
    }
    NetworkRecord network = network_record(call);
    const NetGrants grants = read_net_grants(helper_);
    if (network.type == NetworkType::bridge) {
        plan_bridge(network, grants, find_link(network.bridge.to_string()));
    } else {
        plan_nat(network, grants, occupied());
    }
    check_addressing(network);
    return network;
}

OccupiedNetwork NetworkService::occupied() {
    OccupiedNetwork occupied;
    for (const Link& link : all_links()) {
        occupied.interfaces.insert(link.name);
    }
    for (const HostRoute& route : host_routes()) {
        occupied.subnets.emplace_back(route.destination, "a route of this host");
    }
    for (const auto& other : store_.networks.list()) {
        if (!other.record) {
            continue;
        }
        occupied.interfaces.insert(other.record->bridge.to_string());
        for (const auto& subnet : {other.record->subnet, other.record->subnet6}) {
            if (subnet) {
                occupied.subnets.emplace_back(*subnet, "the network " + other.name.to_string());
            }
        }
    }
    for (const auto& vm : store_.vms.list()) {
        for (const Nic& nic : vm.record ? vm.record->nics : std::vector<Nic>()) {
            if (nic.tap) {
                occupied.interfaces.insert(nic.tap->to_string());
            }
        }
    }
    return occupied;
}

void NetworkService::write_files(const NetworkRecord& network) {
    const fs::path folder = paths_.network(network.name);
    if (!fs::exists(folder)) { // else each start of a VM would cost an fsync
        make_folders(folder);
        sync_folder(paths_.networks());
    }
    refresh_file(folder / "setup.sh", network_setup(network, helper_), 0700);
    refresh_file(folder / "teardown.sh", network_teardown(network, helper_), 0700);
    if (units_.write(network_unit_name(network.name), network_unit(network.name, folder)) ==
        Written::changed) {
        systemd_.reload();
    }
}

void NetworkService::prepare(const Name& name) {
    const NetworkRecord network = usable(name);
    if (network.type == NetworkType::bridge) {
        const auto link = find_link(network.bridge.to_string());
        if (!link || link->kind != "bridge") {
            throw Error(
                ErrorCode::not_capable,
                fmt::format("{} {}", link ? "there is no bridge of the name" : "bridge",
                            network.bridge.to_string() + (link ? "" : " does not exist")),
                "the administrator makes it; `ip -brief link show type bridge` shows those there are");
        }
    }
    write_files(network);
}

Operation NetworkService::set(const NetworkSet& call) {
    if (usable(call.name).type != NetworkType::nat && call.egress) {
        throw Error(ErrorCode::invalid, "egress: is of nat networks only");
    }
    return submit("network.set", call.name, [this, call](Progress&) {
        const NetworkRecord before = usable(call.name);
        NetworkRecord network = before;
        network.egress = call.egress.value_or(network.egress);
        network.dns = call.dns.value_or(network.dns);
        try {
            apply(network);
        } catch (...) {
            apply(before);
            throw;
        }
        events_.add("network.changed", call.name.to_string());
        return show(call.name);
    });
}

/// Makes what is on disk, and what runs, match the record.
void NetworkService::apply(const NetworkRecord& network) {
    store_.networks.save(network);
    write_files(network);
    const std::string unit = network_unit_name(network.name);
    if (systemd_.status(unit).active_state != "active") {
        return;
    }
    if (systemd_.reload_unit(unit, patience) != JobResult::done) {
        throw Error(ErrorCode::internal,
                    about(network.name, fmt::format("cannot be changed: {}",
                                                    fmt::join(journal_lines(unit, {}, 2, 1s), "; "))),
                    "`capsulctl doctor` tells what this host lacks");
    }
}

Operation NetworkService::start(const Name& name) {
    static_cast<void>(usable(name));
    return submit("network.start", name, [this, name](Progress& progress) {
        const NetworkRecord network = usable(name);
        prepare(name);
        bring_up(network, progress);
        events_.add("network.started", name.to_string());
        return show(name);
    });
}

void NetworkService::bring_up(const NetworkRecord& network, Progress& progress) {
    const std::string unit = network_unit_name(network.name);
    progress.message("setting it up");
    if (systemd_.status(unit).active_state == "failed") {
        systemd_.reset_failed(unit);
    }
    if (systemd_.start(unit, patience) != JobResult::done) {
        const ServiceStatus status = systemd_.status(unit);
        const auto lines = journal_lines(unit, status.invocation_id, 3, 1s);
        throw Error(ErrorCode::internal,
                    about(network.name, fmt::format("cannot be set up: {}", fmt::join(lines, "; "))),
                    "`capsulctl doctor` tells what this host lacks");
    }
    if (network.autostart) {
        units_.set_enabled(unit, true);
    }
}

Operation NetworkService::stop(const Name& name) {
    static_cast<void>(show(name));
    return submit("network.stop", name, [this, name](Progress& progress) {
        const std::unique_lock lock(in_use_);
        require_no_running_vm(name);
        progress.message("taking it down");
        units_.set_enabled(network_unit_name(name), false);
        bring_down(name);
        events_.add("network.stopped", name.to_string());
        return show(name);
    });
}

void NetworkService::bring_down(const Name& name) {
    const std::string unit = network_unit_name(name);
    systemd_.stop(unit, patience);
    if (systemd_.status(unit).active_state == "failed") {
        systemd_.reset_failed(unit);
    }
}

void NetworkService::require_no_running_vm(const Name& name) {
    const auto on_it = texts(vms_on(store_.vms, name));
    std::vector<std::string> running;
    for (const UnitStatus& unit : systemd_.list("capsul-vm-*.service")) {
        const auto vm = vm_of_unit(unit.name);
        if (vm && !is_stopped(unit.active_state) && std::ranges::find(on_it, vm->to_string()) != on_it.end()) {
            running.push_back(vm->to_string());
        }
    }
    std::ranges::sort(running);
    if (!running.empty()) {
        throw Error(ErrorCode::in_use,
                    about(name, fmt::format("VMs run on it: {}", fmt::join(running, ", "))),
                    fmt::format("`capsulctl stop {}` first", fmt::join(running, " ")));
    }
}

Operation NetworkService::remove(const Name& name) {
    static_cast<void>(show(name));
    return submit("network.delete", name, [this, name](Progress& progress) {
        const std::unique_lock lock(in_use_);
        const Network before = show(name);
        if (!before.vms.empty()) {
            throw Error(
                ErrorCode::in_use,
                about(name, fmt::format("VMs have a NIC on it: {}", fmt::join(texts(before.vms), ", "))),
                "take it away with `capsulctl vm nic rm`, or delete them");
        }
        progress.message("removing it");
        units_.set_enabled(before.unit, false);
        bring_down(name);
        erase(name);
        if (!systemd_.list(before.unit).empty()) {
            systemd_.reload();
        }
        events_.add("network.deleted", name.to_string());
        return before;
    });
}

/// The record goes first: from then on what is left is swept.
void NetworkService::erase(const Name& name) {
    store_.networks.remove(name);
    store_.networks.forget(name);
    units_.remove(network_unit_name(name));
    remove_whole(paths_.network(name));
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
                        about(call.name, call.ip.to_string() + " is not kept for a VM"));
        }
        store_.networks.save(network);
        return show(call.name);
    });
}

TapPlan NetworkService::tap_plan(const Nic& nic) {
    const NetworkRecord network = usable(nic.network);
    TapPlan plan{*nic.tap, network.bridge, nic.mac, {}, false, network.isolate};
    for (const auto& ip : {nic.ip, nic.ip6}) {
        if (ip) {
            plan.addresses.push_back(*ip);
        }
    }
    plan.any_address = plan.addresses.empty();
    return plan;
}

SeedNic NetworkService::seed_nic(const Nic& nic) {
    SeedNic seed{nic.mac, {}, {}, {}};
    if (!nic.ip && !nic.ip6) {
        return seed;
    }
    const NetworkRecord network = usable(nic.network);
    if (nic.ip) {
        seed.addresses.push_back(fmt::format("{}/{}", nic.ip->to_string(), network.subnet->length()));
    }
    if (nic.ip6) {
        seed.addresses.push_back(fmt::format("{}/{}", nic.ip6->to_string(), network.subnet6->length()));
    }
    for (const auto& gateway : {network.gateway, network.gateway6}) {
        if (gateway) {
            seed.gateways.push_back(*gateway);
        }
    }
    seed.dns = network.dns.empty() ? host_dns() : network.dns;
    return seed;
}

} // namespace capsul
