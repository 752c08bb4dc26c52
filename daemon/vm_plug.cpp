#include "daemon/vm_plug.hpp"

#include "daemon/launcher/tap.hpp"
#include "daemon/script_unit.hpp"
#include "daemon/unit_file.hpp"
#include "daemon/vm_nics.hpp"
#include "daemon/vm_publish.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <system_error>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

// A guest's kernel takes a second or so, an emulated one on a busy machine longer; one without an operating
// system never lets go.
constexpr auto removal_limit = 60s;
constexpr auto nic_removal_interval = 200ms;

/// The same options as in qemu.conf, typed as QMP wants them.
Json as_arguments(const QemuOptions& options) {
    Json arguments = Json::object();
    for (const auto& [key, value] : options) {
        arguments[key] = key == "vhost" ? Json(value == "on") : Json(value);
    }
    return arguments;
}

void execute_if_there(QmpClient& monitor, const char* command, const std::string& id) {
    try {
        monitor.execute(command, {{"id", id}});
    } catch (const Error& error) {
        if (error.code() != ErrorCode::not_found) {
            throw;
        }
    }
}

UniqueFd attached(const Name& vm, const InterfaceName& tap) {
    try {
        return UniqueFd(launcher::attach_tap(tap.to_string()));
    } catch (const std::system_error& error) {
        const bool is_busy = error.code().value() == EBUSY;
        throw Error(is_busy ? ErrorCode::in_use : ErrorCode::not_capable, about(vm, error.what()),
                    "`capsulctl doctor` tells what this host lacks");
    }
}

/// Of a command that failed: it may have closed it or not.
void drop_descriptor(QmpClient& monitor, const std::string& name) {
    try {
        monitor.execute("closefd", {{"fdname", name}});
    } catch (const Error&) {
        // It has.
    }
}

} // namespace

bool VmPlug::is_running(const Name& name) const {
    return host_.systemd.status(vm_unit_name(name)).active_state == "active";
}

void VmPlug::plug(const VmRecord& vm, const Nic& nic) const {
    power_.refresh_files(vm);
    host_.networks.nics_changed({nic.network});
    if (!is_running(vm.name)) {
        return;
    }
    host_.networks.prepare(nic.network);
    set_up_tap(vm, {});
    add_device(vm, nic);
}

void VmPlug::go_back(const VmRecord& before, const Nic& nic) const {
    try {
        host_.store.vms.save(before);
        leave_out(before, nic, is_running(before.name));
        host_.networks.nics_changed({nic.network});
    } catch (const std::exception&) {
        // The record is saved first: what else there is of the NIC goes when the VM stops.
    }
}

/// The unit does again what its script says, which does only what is missing.
void VmPlug::set_up_tap(const VmRecord& vm, const std::vector<InterfaceName>& gone) const {
    write_tap_files(host_, vm, gone);
    for (const Name& network : networks_of(vm)) {
        host_.systemd.start(network_unit_name(network), 60s);
    }
    const std::string unit = tap_unit_name(vm.name);
    const std::string what = about(vm.name, "its interfaces cannot be set up");
    // Not up yet if the VM has had no TAP until now.
    if (host_.systemd.start(unit, 60s) != JobResult::done) {
        throw script_error(host_.systemd, unit, UnitStep::start, what);
    }
    reload_scripts(host_.systemd, unit, what);
}

/// QEMU, which may attach to no TAP, gets this one as capsul-run gives it the others.
void VmPlug::add_netdev(QmpClient& monitor, const Name& vm, const Nic& nic) const {
    const std::string id = nic_id(nic);
    const UniqueFd tap = attached(vm, *nic.tap);
    Json netdev = as_arguments(tap_options(id));
    netdev["id"] = id;
    monitor.give(id, tap.get());
    try {
        monitor.execute("netdev_add", netdev);
    } catch (...) {
        drop_descriptor(monitor, id);
        throw;
    }
}

void VmPlug::add_device(const VmRecord& vm, const Nic& nic) const {
    const auto monitor = host_.monitors.connection(vm.name, 5s);
    Json device = as_arguments(nic_device_options(nic));
    device["id"] = nic_id(nic) + "-device";
    add_netdev(*monitor, vm.name, nic);
    try {
        monitor->execute("device_add", device);
    } catch (...) {
        monitor->execute("netdev_del", {{"id", nic_id(nic)}});
        throw;
    }
}

void VmPlug::unplug(const VmRecord& before, const VmRecord& vm, const Nic& nic,
                    const Progress& progress) const {
    const bool runs = is_running(vm.name);
    if (runs) {
        remove_device(vm.name, nic, progress);
    }
    {
        // Until its units need the network no more: stopping that would stop the VM.
        const auto networks = host_.networks.hold();
        host_.store.vms.save(vm);
        try {
            leave_out(vm, nic, runs);
        } catch (...) {
            host_.store.vms.save(before); // so that it can be tried again
            throw;
        }
        host_.networks.nics_changed({nic.network});
    }
    if (runs) {
        open_published(host_, vm); // QEMU has, until now, if that was its NIC on `user`
    }
}

/// What is gone already is passed over: the guest let go of it after an earlier call had given up, or the NIC
/// was never plugged in.
void VmPlug::remove_device(const Name& name, const Nic& nic, const Progress& progress) const {
    const auto monitor = host_.monitors.connection(name, 5s);
    execute_if_there(*monitor, "device_del", nic_id(nic) + "-device");
    await_removal(name, nic, progress);
    execute_if_there(*monitor, "netdev_del", nic_id(nic));
}

/// From the files of the VM, which has it no more, and from the host.
void VmPlug::leave_out(const VmRecord& vm, const Nic& nic, bool runs) const {
    if (nic.tap) {
        take_tap_away(vm, *nic.tap, runs);
    } else {
        power_.refresh_files(vm);
    }
}

/// qemu.conf goes first: after a crash QEMU must not be told of a TAP that is not set up. The scripts still
/// know the TAP, since the VM's unit may be on its way down, which takes it away with the others.
void VmPlug::take_tap_away(const VmRecord& vm, const InterfaceName& tap, bool runs) const {
    power_.refresh_config(vm);
    power_.refresh_files(vm, {tap});
    const std::string unit = tap_unit_name(vm.name);
    // A unit of the VM's that was edited by hand still requires it: stopping it would stop the VM.
    const bool is_required = runs && check_seal(read_file(host_.unit_file(vm.name))) == SealState::edited;
    if (!has_taps(vm) && !is_required) {
        take_down_taps(host_, vm.name, {tap});
        host_.units().remove(unit);
    } else if (runs && host_.systemd.status(unit).active_state == "active") {
        reload_scripts(host_.systemd, unit, about(vm.name, "the NIC's interface stays"));
    }
}

/// QEMU's tree of objects, looked at now and then: the event may have come before anybody listens.
void VmPlug::await_removal(const Name& name, const Nic& nic, const Progress& progress) const {
    const auto end = std::chrono::steady_clock::now() + removal_limit;
    const std::string device = nic_id(nic) + "-device";
    while (true) {
        const Json objects =
            host_.monitors.connection(name, 5s)->execute("qom-list", {{"path", "/machine/peripheral"}});
        const bool is_there = std::ranges::any_of(
            objects, [&](const Json& object) { return object.value("name", std::string()) == device; });
        if (!is_there) {
            return;
        }
        if (std::chrono::steady_clock::now() >= end || progress.cancelled()) {
            throw Error(ErrorCode::timeout, about(name, "the guest does not let go of the NIC"),
                        "try again when its operating system is up, or stop the VM first");
        }
        std::this_thread::sleep_for(nic_removal_interval);
    }
}

} // namespace capsul
