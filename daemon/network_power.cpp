#include "daemon/network_power.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_unit.hpp"
#include "daemon/network_view.hpp"
#include "daemon/script_unit.hpp"
#include "lib/fd.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <exception>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::chrono::seconds setup_patience{90}; // more than the units' own limits

/// capsul's own bridge, that is.
bool is_bridge_gone(const NetworkRecord& network) {
    return network.type != NetworkType::bridge && !find_link(network.bridge.to_string());
}

} // namespace

void NetworkPower::write_files(const NetworkRecord& network) const {
    const fs::path folder = paths_.network(network.name);
    units_.require_unmasked(network_unit_name(network.name));
    make_folders(folder);
    refresh_file(folder / "setup.sh", network_setup(network, helper_), 0700);
    refresh_file(folder / "teardown.sh", network_teardown(network, helper_), 0700);
    if (units_.write(network_unit_name(network.name), network_unit(network, folder)) == Written::changed) {
        systemd_.reload();
    }
    dhcp_.write_files(network);
    vpn_.write_files(network);
}

NetworkRecord NetworkPower::refresh_files(const Name& name) const {
    const std::lock_guard lock(files_mutex_);
    const NetworkRecord network = usable_network(store_.networks, name);
    write_files(network);
    return network;
}

void NetworkPower::require_bridge(const NetworkRecord& network) {
    if (network.type != NetworkType::bridge) {
        return;
    }
    const std::string bridge = network.bridge.to_string();
    const auto link = find_link(bridge);
    if (!link || link->kind != "bridge") {
        throw Error(ErrorCode::not_capable,
                    link ? fmt::format("{} is no bridge", bridge)
                         : fmt::format("bridge {} does not exist", bridge),
                    "the administrator makes it; `ip -brief link show type bridge` shows those there are");
    }
}

void NetworkPower::bring_up(const NetworkRecord& network, Progress& progress) const {
    const std::string unit = network_unit_name(network.name);
    progress.message("setting it up");
    const std::string state = systemd_.status(unit).active_state;
    if (state == "active") {
        repair(network.name);
    } else {
        start(network.name, state);
    }
    if (has_dhcp_unit(network)) {
        dhcp_.start(network.name);
    }
    vpn_.start(network);
    if (network.autostart) {
        units_.set_enabled(unit, true);
    }
}

void NetworkPower::start(const Name& name, const std::string& state) const {
    const std::string unit = network_unit_name(name);
    if (state == "failed") {
        systemd_.reset_failed(unit);
    }
    if (systemd_.start(unit, setup_patience) != JobResult::done) {
        throw script_error(systemd_, unit, UnitStep::start, about_network(name, "cannot be set up"));
    }
}

void NetworkPower::repair_bridge(const NetworkRecord& network) const {
    if (is_bridge_gone(network) &&
        systemd_.status(network_unit_name(network.name)).active_state == "active") {
        repair(network.name);
    }
}

/// A bridge that is made anew has none of the interfaces that were plugged into it. One VM's failure is not
/// that of the others.
void NetworkPower::repair(const Name& name) const {
    reload_scripts(systemd_, network_unit_name(name), about_network(name, "cannot be set up anew"));
    const auto vms = vms_by_network(store_);
    const auto on_it = vms.find(name);
    std::exception_ptr failure;
    for (const UnitStatus& unit : systemd_.list("capsul-tap-*.service")) {
        const auto vm = name_in_unit(unit.name, "capsul-tap-");
        if (unit.active_state != "active" || !vm || on_it == vms.end() ||
            std::ranges::find(on_it->second, *vm) == on_it->second.end()) {
            continue;
        }
        try {
            reload_scripts(
                systemd_, unit.name,
                about_network(name, fmt::format("the interfaces of the VM {} cannot be plugged into it",
                                                vm->to_string())));
        } catch (const Error&) {
            failure = std::current_exception();
        }
    }
    if (failure) {
        std::rethrow_exception(failure);
    }
}

void NetworkPower::apply(const NetworkRecord& network) const {
    if (!has_dhcp_unit(network)) {
        dhcp_.stop(network.name);
    }
    {
        const std::lock_guard lock(files_mutex_);
        store_.networks.save(network);
        write_files(network);
    }
    put_in_force(network);
}

/// One that is on its way up may have read the script of before.
void NetworkPower::put_in_force(const NetworkRecord& network) const {
    const std::string unit = network_unit_name(network.name);
    const std::string state = systemd_.status(unit).active_state;
    if (state == "activating") {
        systemd_.start(unit, setup_patience);
    } else if (state != "active" && state != "reloading") {
        return;
    }
    if (is_bridge_gone(network)) {
        repair(network.name);
    } else {
        reload_scripts(systemd_, unit, about_network(network.name, "cannot be changed"));
    }
    if (has_dhcp_unit(network)) {
        dhcp_.start(network.name);
    }
}

void NetworkPower::follow_record(const Name& name) const {
    put_in_force(refresh_files(name));
}

void NetworkPower::go_back(const NetworkRecord& before) const {
    try {
        apply(before);
    } catch (const std::exception&) {
        // The record is saved first, and the unit's next start or reload does what it says.
    }
}

void NetworkPower::bring_down(const Name& name) const {
    vpn_.stop(name);
    dhcp_.stop(name);
    const std::string unit = network_unit_name(name);
    try {
        take_down_scripts(systemd_, unit, about_network(name, "cannot be taken down"));
    } catch (const Error&) {
        if (has_links(name)) {
            throw;
        }
        systemd_.reset_failed(unit); // the administrator has taken them away, and maybe the right to do so
    }
}

/// Whether something of it is left on the host; of one without a record nobody knows.
bool NetworkPower::has_links(const Name& name) const {
    const auto stored = store_.networks.find(name);
    if (!stored || !stored->record) {
        return true;
    }
    const NetworkRecord& network = *stored->record;
    return find_link(network.bridge.to_string()) ||
           (network.dhcp_tap && find_link(network.dhcp_tap->to_string())) ||
           (network.vpn && find_link(network.vpn->trunk.to_string()));
}

void NetworkPower::erase(const Name& name) const {
    store_.networks.remove(name);
    store_.networks.forget(name);
    units_.remove(network_unit_name(name));
    dhcp_.remove_unit(name);
    vpn_.remove_units(name);
    remove_whole(paths_.network(name));
}

void NetworkPower::undo(const Name& name) const {
    try {
        bring_down(name);
        erase(name);
    } catch (const std::exception&) {
        // One that cannot be taken down stays, for all to see; without a record it is swept.
    }
}

} // namespace capsul
