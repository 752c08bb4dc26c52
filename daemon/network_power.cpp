#include "daemon/network_power.hpp"

#include "daemon/journal.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_unit.hpp"
#include "lib/fd.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

constexpr std::chrono::seconds patience{90}; // more than the units' own limits

/// `failed`: what systemd could not do.
Error unit_error(const Name& name, const char* failed, const std::vector<std::string>& journal) {
    return {ErrorCode::internal,
            about_network(name, fmt::format("cannot be {}: {}", failed, fmt::join(journal, "; "))),
            "`capsulctl doctor` tells what this host lacks"};
}

} // namespace

void NetworkPower::write_files(const NetworkRecord& network) const {
    const fs::path folder = paths_.network(network.name);
    if (!fs::exists(folder)) { // else each start of a VM would cost an fsync
        make_folders(folder);
        sync_folder(paths_.networks());
    }
    refresh_file(folder / "setup.sh", network_setup(network, helper_), 0700);
    refresh_file(folder / "teardown.sh", network_teardown(network, helper_), 0700);
    if (units_.write(network_unit_name(network.name), network_unit(network, folder)) == Written::changed) {
        systemd_.reload();
    }
    dhcp_.write_files(network);
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
    if (systemd_.status(unit).active_state == "failed") {
        systemd_.reset_failed(unit);
    }
    if (systemd_.start(unit, patience) != JobResult::done) {
        throw unit_error(network.name, "set up", last_words(systemd_.status(unit), 3));
    }
    if (network.dhcp) {
        dhcp_.start(network.name);
    }
    if (network.autostart) {
        units_.set_enabled(unit, true);
    }
}

void NetworkPower::apply(const NetworkRecord& network) const {
    if (!network.dhcp) {
        dhcp_.stop(network.name);
    }
    store_.networks.save(network);
    write_files(network);
    const std::string unit = network_unit_name(network.name);
    if (systemd_.status(unit).active_state != "active") {
        return;
    }
    if (systemd_.reload_unit(unit, patience) != JobResult::done) {
        throw unit_error(network.name, "changed", last_words(systemd_.status(unit), 2));
    }
    if (network.dhcp) {
        dhcp_.start(network.name);
    }
}

void NetworkPower::go_back(const NetworkRecord& before) const {
    try {
        apply(before);
    } catch (const std::exception&) {
        // The record is saved first, and the unit's next start or reload does what it says.
    }
}

void NetworkPower::bring_down(const Name& name) const {
    dhcp_.stop(name);
    systemd_.take_down(network_unit_name(name), patience);
}

void NetworkPower::erase(const Name& name) const {
    store_.networks.remove(name);
    store_.networks.forget(name);
    units_.remove(network_unit_name(name));
    dhcp_.remove_unit(name);
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
