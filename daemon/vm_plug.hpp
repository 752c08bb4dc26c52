// Plugging NICs into VMs and out of them, running or not. Each function blocks until it is done.
#pragma once

#include "daemon/vm_power.hpp"

namespace capsul {

class VmPlug {
  public:
    VmPlug(const VmHost& host, const VmPower& power) : host_(host), power_(power) {}

    /// Makes what runs match `vm`, in whose record `nic` is new.
    void plug(const VmRecord& vm, const Nic& nic) const;
    /// Takes back what a `plug` of `nic` that threw has done: never throws.
    void go_back(const VmRecord& before, const Nic& nic) const;
    /// Takes `nic` out of what runs, and makes `vm`, which is `before` without it, the record. Throws Error
    /// (timeout) when the guest does not let go of it, and what the helper refuses; `before` is the record
    /// then, and the next call goes on.
    void unplug(const VmRecord& before, const VmRecord& vm, const Nic& nic, const Progress& progress) const;

  private:
    [[nodiscard]] bool is_running(const Name& name) const;
    void set_up_tap(const VmRecord& vm, const std::vector<InterfaceName>& gone) const;
    void leave_out(const VmRecord& vm, const Nic& nic, bool runs) const;
    void take_tap_away(const VmRecord& vm, const InterfaceName& tap, bool runs) const;
    void add_netdev(QmpClient& monitor, const Name& vm, const Nic& nic) const;
    void add_device(const VmRecord& vm, const Nic& nic) const;
    void remove_device(const Name& name, const Nic& nic, const Progress& progress) const;
    void await_removal(const Name& name, const Nic& nic, const Progress& progress) const;

    const VmHost& host_;
    const VmPower& power_;
};

} // namespace capsul
