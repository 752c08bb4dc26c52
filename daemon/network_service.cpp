#include "daemon/network_service.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/ipam.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_claims.hpp"
#include "daemon/network_plan.hpp"
#include "daemon/network_unit.hpp"
#include "daemon/peer_unit.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <exception>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mutex>
#include <set>

namespace capsul {
namespace {

std::vector<std::string> texts(const std::vector<Name>& names) {
    std::vector<std::string> result;
    for (const Name& name : names) {
        result.push_back(name.to_string());
    }
    return result;
}

/// The TAP's name stays when DHCP is switched off: the scripts take it away by it.
void choose_dhcp_tap(NetworkRecord& network, const NetGrants& grants, std::set<std::string> taken) {
    taken.insert(network.bridge.to_string());
    network.dhcp_tap = interface_name(grants.prefix, network.name.to_string() + "-dhcp", taken);
}

void refuse_for_type(NetworkType type, const NetworkSet& call) {
    if (type != NetworkType::nat && call.egress) {
        throw Error(ErrorCode::invalid, "egress: is of nat networks only");
    }
    if (type == NetworkType::vpn && call.dns) {
        throw Error(ErrorCode::invalid, "dns: is not of vpn networks", vpn_dns_hint);
    }
}

TakenAddresses taken_with_nics(Store& store, const NetworkRecord& network) {
    TakenAddresses taken = taken_addresses(store, network);
    const std::set<Name> on_bridge = networks_on(store, network.bridge);
    for (const auto& [vm, nic] : plugged_nics(store)) {
        for (const auto& ip : {nic.ip, nic.ip6}) {
            if (ip && on_bridge.contains(nic.network)) {
                taken.emplace(*ip, Holder(vm));
            }
        }
    }
    return taken;
}

/// Not where capsul-peer writes, which runs while capsuld does not.
void remove_half_written_files(const fs::path& network) {
    for (const char* const folder : {"", "dhcp", "dns", "invite", "peer", "peers", "tinc", "tinc/hosts"}) {
        remove_half_written(network / folder);
    }
}

} // namespace

NetworkService::NetworkService(const Paths& paths, const VpnConfig& config, const fs::path& programs,
                               Store& store, OperationService& operations, EventLog& events,
                               SystemdClient& systemd)
    : paths_(paths), config_(config), store_(store), operations_(operations), events_(events),
      systemd_(systemd), units_(paths), dhcp_(paths, programs, store, systemd),
      vpn_(paths, programs, store, systemd, dhcp_), view_(paths, store, systemd, vpn_),
      power_(paths, programs / "capsul-net", store, systemd, dhcp_, vpn_) {}

void NetworkService::sweep() {
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator(paths_.networks(), failure)) {
        try {
            const Name name = Name::parse(entry.path().filename().string());
            if (!entry.is_directory()) {
                continue;
            }
            if (fs::exists(entry.path() / "network.toml")) {
                remove_half_written_files(entry.path());
            } else {
                power_.bring_down(name);
                power_.erase(name);
            }
        } catch (const std::exception&) {
            // No folder of ours, or one that cannot be removed now: it stays until the next start.
        }
    }
}

/// Whether a crash came between saving a record and doing what it says cannot be told: to do it again costs
/// little. Not on the way of the daemon's start.
void NetworkService::follow_records() {
    std::vector<Name> up;
    for (const UnitStatus& unit : systemd_.list("capsul-net-*.service")) {
        const auto name = network_of_unit(unit.name);
        if (name && !is_stopped(unit.active_state)) {
            up.push_back(*name);
        }
    }
    if (up.empty()) {
        return;
    }
    operations_.submit("network.refresh", "all", "networks", [this, up](Progress&) {
        std::exception_ptr failure;
        for (const Name& name : up) {
            try {
                const auto held = hold();
                power_.follow_record(name);
            } catch (const Error&) {
                failure = std::current_exception(); // one network's is not that of the others
            }
        }
        if (failure) {
            std::rethrow_exception(failure);
        }
        return encode(texts(up));
    });
}

Operation NetworkService::create(const NetworkCreate& call) {
    static_cast<void>(plan(call)); // what is wrong is told at once
    return operations_.submit(
        "network.create", call.name.to_string(), "networks",
        [this, call](Progress& progress) { return encode(make(plan(call), {}, call.start, progress)); });
}

/// `book`: what is known of the other hosts of a VPN.
Network NetworkService::make(NetworkRecord network, const VpnBook& book, bool start, Progress& progress) {
    const Name name = network.name;
    try {
        if (network.vpn) {
            progress.message("making its keys");
            vpn_.make_keys(network);
            vpn_.save_book(network, book);
        }
        power_.write_files(network);
        store_.networks.save(network);
        if (start) {
            power_.bring_up(network, progress);
        }
    } catch (...) {
        power_.undo(name);
        throw;
    }
    events_.add("network.created", name.to_string());
    return show(name);
}

void NetworkService::require_free(const Name& name) {
    if (is_user_network(name)) {
        throw Error(ErrorCode::invalid, "name: 'user' is QEMU's own network, which is always there");
    }
    if (store_.networks.exists(name) || fs::exists(paths_.network(name))) {
        throw Error(ErrorCode::exists, about_network(name, "exists already"),
                    "choose another name, or delete it with `capsulctl network delete " + name.to_string() +
                        "`");
    }
    for (const auto& unit : {network_unit_name(name), dhcp_unit_name(name), vpn_unit_name(name),
                             peer_unit_name(name), invite_unit_name(name), check_unit_name(name)}) {
        units_.require_free(unit);
    }
}

NetworkRecord NetworkService::plan(const NetworkCreate& call) {
    require_free(call.name);
    NetworkRecord network = network_record(call);
    if (has_dhcp_unit(network)) {
        require_dhcp(network);
    }
    const NetGrants grants = read_net_grants(helper());
    if (network.type == NetworkType::bridge) {
        plan_bridge(network, grants, find_link(network.bridge.to_string()), known_networks(store_));
    } else if (network.type == NetworkType::vpn) {
        const VpnWishes wishes = call.vpn.value_or(VpnWishes());
        require_vpn_programs();
        plan_vpn(network, wishes, vpn_host(wishes), grants, {taken_interfaces(), taken_subnets(store_)});
    } else {
        const auto interfaces = taken_interfaces();
        plan_nat(network, grants, {interfaces, taken_subnets(store_)});
        if (network.dhcp) {
            choose_dhcp_tap(network, grants, interfaces);
        }
    }
    check_addressing(network);
    return network;
}

void NetworkService::prepare(const Name& name) {
    NetworkPower::require_bridge(usable(name));
    power_.repair_bridge(power_.refresh_files(name));
}

Operation NetworkService::set(const NetworkSet& call) {
    const NetworkRecord present = usable(call.name);
    refuse_for_type(present.type, call);
    if (call.dhcp.value_or(false)) {
        require_dhcp(present);
    }
    if (call.slice || call.addresses) {
        static_cast<void>(usable_vpn(call.name));
    }
    return submit("network.set", call.name, [this, call](Progress&) {
        const NetworkRecord before = usable(call.name);
        NetworkRecord network = before;
        network.egress = call.egress.value_or(network.egress);
        network.dns = call.dns.value_or(network.dns);
        network.dhcp = call.dhcp.value_or(network.dhcp);
        if (call.addresses) {
            network.vpn->addresses = addresses_of(network, *call.addresses);
        }
        if (call.slice) {
            change_slice(network, *call.slice);
        }
        if (network.dhcp && !network.dhcp_tap) { // else a program's run for nothing
            choose_dhcp_tap(network, read_net_grants(helper()), taken_interfaces());
        }
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
        if (network.vpn) {
            take_in(name); // what has come while it was stopped
        }
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
    const auto on_it = texts(vms_by_network(store_)[name]);
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
        const std::unique_lock lock(in_use_); // a VM that is being made has its addresses before its record
        NetworkRecord network = usable(call.name);
        check_address(network, call.ip, call.vm, taken_with_nics(store_, network));
        if (network.type == NetworkType::bridge) {
            require_allowed(network, read_net_grants(helper()), call.ip);
        }
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
