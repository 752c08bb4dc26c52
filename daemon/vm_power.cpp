#include "daemon/vm_power.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/vm_nics.hpp"
#include "daemon/vm_ports.hpp"
#include "daemon/vm_publish.hpp"
#include "daemon/vm_start_error.hpp"
#include "daemon/vm_unit.hpp"
#include "lib/fd.hpp"

#include <csignal>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// A VM with TAPs first waits for its units of the host's side.
std::chrono::milliseconds start_patience(const VmHost& host, const VmRecord& vm) {
    return host.config.vm.start_timeout.value() + (has_taps(vm) ? 90s : 0s);
}

void require_file(const Name& name, const fs::path& file, const char* what) {
    if (!fs::exists(file)) {
        throw Error(ErrorCode::wrong_state,
                    about(name, fmt::format("cannot start: {} {} is missing", what, file.string())),
                    "restore the file, or delete the VM");
    }
}

} // namespace

void require_qemu() {
    if (::access("/usr/bin/qemu-system-x86_64", X_OK) != 0) {
        throw Error(ErrorCode::not_capable, "QEMU is not installed: /usr/bin/qemu-system-x86_64 is missing",
                    "apt-get install qemu-system-x86 qemu-utils");
    }
}

bool VmPower::is_running(const Name& name) const {
    const std::string state = host_.systemd.status(vm_unit_name(name)).active_state;
    if (state != "active" && !is_stopped(state)) {
        throw Error(ErrorCode::wrong_state, about(name, "is being started or stopped"),
                    "try again when it is: `capsulctl vm wait " + name.to_string() + " --for stopped`");
    }
    return state == "active";
}

Vm VmPower::start(const Name& name, Progress& progress) const {
    VmRecord vm = host_.store.vms.load(name);
    const ServiceStatus before = settled_status(vm, progress);
    if (before.active_state == "active") {
        if (vm.autostart) {
            host_.set_enabled(name, true);
        }
        open_published(host_, vm);
        return resume(name);
    }
    if (vm.memory_before) { // no QEMU is left that has it
        vm.memory_before.reset();
        host_.store.vms.save(vm);
    }
    const bool newly_enabled = vm.autostart && host_.set_enabled(name, true);
    try {
        start_unit(vm, before, progress);
    } catch (...) {
        if (newly_enabled) {
            host_.set_enabled(name, false);
        }
        throw;
    }
    return view_.show(name);
}

/// The unit's status, once it is not on its way down.
ServiceStatus VmPower::settled_status(const VmRecord& vm, Progress& progress) const {
    const std::string unit = vm_unit_name(vm.name);
    ServiceStatus status = host_.systemd.status(unit);
    if (status.active_state != "deactivating") {
        return status;
    }
    progress.message("waiting for the guest to power down");
    if (!host_.systemd.wait_until_stopped(unit, vm.stop_timeout.value() + 10s,
                                          [&] { return progress.cancelled(); })) {
        throw Error(ErrorCode::timeout, about(vm.name, "is being stopped and does not end"),
                    "`capsulctl vm kill " + vm.name.to_string() + "` ends it");
    }
    return host_.systemd.status(unit);
}

void VmPower::start_unit(const VmRecord& vm, const ServiceStatus& before, Progress& progress) const {
    const std::string unit = vm_unit_name(vm.name);
    require_qemu();
    host_.units().require_unmasked(vm_unit_name(vm.name));
    require_disks(vm);
    close_published(host_, vm.name); // those of a run that ended a moment ago
    check_ports_free(vm.name, all_ports(vm));
    const auto networks = host_.networks.hold();
    prepare_networks(vm);
    refresh_files(vm);
    if (before.active_state == "failed") {
        host_.systemd.reset_failed(unit);
    }
    if (before.need_daemon_reload) {
        host_.systemd.reload();
    }
    progress.message("starting QEMU");
    switch (host_.systemd.start(unit, start_patience(host_, vm))) {
    case JobResult::done:
        break;
    case JobResult::dependency:
        throw dependency_error(host_, vm);
    default:
        throw start_error(host_, vm.name);
    }
    await_qemu(vm.name);
    open_ports(vm);
}

/// systemd has opened them, unless somebody else was quicker.
void VmPower::open_ports(const VmRecord& vm) const {
    try {
        open_published(host_, vm);
    } catch (...) {
        end_qemu(vm.name, SIGKILL);
        try {
            take_down_host_side(vm.name);
        } catch (const Error&) {
            // Why its ports cannot be opened is told; its unit of interfaces stays failed, for all to see.
        }
        throw;
    }
}

void VmPower::require_disks(const VmRecord& vm) const {
    for (const GuestDisk& disk : guest_disks(vm, host_.files(vm))) {
        require_file(vm.name, disk.file, "its disk");
    }
    require_file(vm.name, host_.files(vm).base, "the disk of its image");
    require_no_restore(vm);
}

/// What this version of capsul writes may differ from what stands there, as may this boot's answer about KVM.
void VmPower::refresh_files(const VmRecord& vm, const std::vector<InterfaceName>& gone) const {
    const VmFiles files = host_.files(vm);
    const std::string unit = vm_unit(vm, files, host_.programs);
    write_tap_files(host_, vm, gone);
    write_publish_files(host_, vm);
    if (host_.units().write(vm_unit_name(vm.name), unit) == Written::changed) {
        host_.systemd.reload();
    }
    refresh_config(vm);
}

void VmPower::refresh_config(const VmRecord& vm) const {
    if (vm.restoring) {
        return; // it is away so that nobody starts the VM
    }
    const VmFiles files = host_.files(vm);
    refresh_file(files.config(), seal(to_readconfig(qemu_sections(vm, files, host_.accelerator()))));
}

/// What would keep its units from coming up is told in words before they are started.
void VmPower::prepare_networks(const VmRecord& vm) const {
    for (const Name& network : networks_of(vm)) {
        try {
            host_.networks.prepare(network);
        } catch (const Error& error) {
            throw Error(error.code(), about(vm.name, fmt::format("cannot start: {}", error.what())),
                        error.hint());
        }
    }
}

/// Its published ports and its interfaces. systemd stops them too, some time after the VM; here they are gone
/// when the call returns.
void VmPower::take_down_host_side(const Name& name) const {
    close_published(host_, name);
    take_down_taps(host_, name);
}

/// Endings count from here: before the start's job was done, systemd may have told of the run before.
void VmPower::await_qemu(const Name& name) const {
    const unsigned endings = host_.monitors.endings(name);
    const auto ended = [&] { return host_.monitors.endings(name) != endings; };
    if (is_stopped(host_.systemd.status(vm_unit_name(name)).active_state)) {
        throw start_error(host_, name);
    }
    try {
        static_cast<void>(host_.monitors.connection(name, host_.config.vm.start_timeout.value(), ended));
    } catch (const Error& error) {
        // One that hangs up is mostly about to end, and has said why.
        if (ended() || host_.systemd.wait_until_stopped(vm_unit_name(name), 10s)) {
            throw start_error(host_, name);
        }
        end_qemu(name, SIGKILL);
        throw Error(error.code(),
                    about(name, fmt::format("QEMU started but does not answer: {}", error.what())),
                    "`capsulctl logs --source qemu " + name.to_string() + "` shows what it said");
    }
}

StopResult VmPower::stop(const Name& name, std::optional<Duration> timeout, bool force, bool disable,
                         Progress& progress) const {
    host_.require(name);
    if (disable) {
        host_.set_enabled(name, false);
    }
    const std::string unit = vm_unit_name(name);
    const ServiceStatus status = host_.systemd.status(unit);
    if (is_stopped(status.active_state)) {
        if (status.active_state == "failed") {
            host_.systemd.reset_failed(unit);
        }
        take_down_host_side(name);
        return {view_.show(name), StopKind::already};
    }
    if (force) {
        end_qemu(name, SIGTERM);
        take_down_host_side(name);
        return {view_.show(name), StopKind::forced};
    }
    const auto stored = host_.store.vms.find(name);
    const Duration longest =
        stored && stored->record ? stored->record->stop_timeout : VmRecord{}.stop_timeout;
    const StopKind how = stop_unit(name, timeout.value_or(longest).value(), progress);
    take_down_host_side(name);
    return {view_.show(name), how};
}

/// Graceful is what QEMU reports as the guest's own shutdown: that systemd's job is done does not tell.
StopKind VmPower::stop_unit(const Name& name, std::chrono::milliseconds limit, Progress& progress) const {
    progress.message("waiting for the guest to power down");
    const std::shared_ptr<QmpClient> monitor = listening_monitor(name);
    const unsigned shutdowns = host_.monitors.guest_shutdowns(name);
    try {
        host_.systemd.stop(vm_unit_name(name), limit, [&] { return progress.cancelled(); });
        if (monitor) {
            monitor->wait_until_ended(10s); // what it has heard is counted only then
        }
        return host_.monitors.guest_shutdowns(name) != shutdowns ? StopKind::graceful : StopKind::forced;
    } catch (const Error& error) {
        if (error.code() != ErrorCode::timeout) {
            throw;
        }
    }
    progress.message("the guest has not powered down: ending QEMU");
    end_qemu(name, SIGTERM);
    return StopKind::forced;
}

/// The connection that will hear how the guest ends; none when QEMU does not answer.
std::shared_ptr<QmpClient> VmPower::listening_monitor(const Name& name) const {
    try {
        return host_.monitors.connection(name, 2s);
    } catch (const Error&) {
        return nullptr;
    }
}

/// Sends the signal; what is left after ten seconds gets SIGKILL.
void VmPower::end_qemu(const Name& name, int signal) const {
    const std::string unit = vm_unit_name(name);
    host_.systemd.kill(unit, signal);
    if (!host_.systemd.wait_until_stopped(unit, 10s)) {
        host_.systemd.kill(unit, SIGKILL);
        if (!host_.systemd.wait_until_stopped(unit, 10s)) {
            throw Error(ErrorCode::timeout, about(name, "QEMU does not end, even by SIGKILL"),
                        "it hangs in the kernel, mostly on a dead disk: see `dmesg`");
        }
    }
    host_.systemd.reset_failed(unit);
}

Vm VmPower::kill(const Name& name) const {
    host_.require(name);
    host_.set_enabled(name, false);
    if (!is_stopped(host_.systemd.status(vm_unit_name(name)).active_state)) {
        end_qemu(name, SIGKILL);
    }
    take_down_host_side(name);
    return view_.show(name);
}

Vm VmPower::pause(const Name& name) const {
    return command(name, "stop");
}

Vm VmPower::resume(const Name& name) const {
    return command(name, "cont");
}

Vm VmPower::command(const Name& name, const char* qmp_command) const {
    host_.require(name);
    if (host_.systemd.status(vm_unit_name(name)).active_state != "active") {
        throw Error(ErrorCode::wrong_state, about(name, "is not running"),
                    "`capsulctl start " + name.to_string() + "` starts it");
    }
    const auto monitor = host_.monitors.connection(name, 5s);
    monitor->execute(qmp_command);
    // The answer may come before the event that list and show go by.
    host_.monitors.set_paused(name, std::string_view(qmp_command) == "stop");
    return view_.show(name);
}

} // namespace capsul
