// Starting and stopping VMs. Each function here blocks until it is done; routes.cpp queues them.
#pragma once

#include "daemon/vm_view.hpp"

namespace capsul {

class VmPower {
  public:
    VmPower(const VmHost& host, const VmView& view) : host_(host), view_(view) {}

    /// Success when it runs already; a paused VM goes on, and ports that are closed are opened.
    Vm start(const Name& name, Progress& progress) const;
    /// `disable`: it does not start at boot any more.
    StopResult stop(const Name& name, std::optional<Duration> timeout, bool force, bool disable,
                    Progress& progress) const;
    Vm kill(const Name& name) const;
    Vm pause(const Name& name) const;
    Vm resume(const Name& name) const;
    /// Brings its units, scripts and qemu.conf up to date, but for those that somebody has edited. `gone`:
    /// see write_tap_files.
    void refresh_files(const VmRecord& vm, const std::vector<InterfaceName>& gone = {}) const;
    /// Whether QEMU runs; throws Error (wrong_state) while it comes or goes.
    [[nodiscard]] bool is_running(const Name& name) const;
    /// qemu.conf alone.
    void refresh_config(const VmRecord& vm) const;

  private:
    [[nodiscard]] ServiceStatus settled_status(const VmRecord& vm, Progress& progress) const;
    void start_unit(const VmRecord& vm, const ServiceStatus& before, Progress& progress) const;
    void require_disks(const VmRecord& vm) const;
    void prepare_networks(const VmRecord& vm) const;
    void open_ports(const VmRecord& vm) const;
    void take_down_host_side(const Name& name) const;
    void await_qemu(const Name& name) const;
    void end_qemu(const Name& name, int signal) const;
    StopKind stop_unit(const Name& name, std::chrono::milliseconds limit, Progress& progress) const;
    [[nodiscard]] std::shared_ptr<QmpClient> listening_monitor(const Name& name) const;
    Vm command(const Name& name, const char* qmp_command) const;

    const VmHost& host_;
    const VmView& view_;
};

/// Throws Error (not_capable) when QEMU is not installed.
void require_qemu();

} // namespace capsul
