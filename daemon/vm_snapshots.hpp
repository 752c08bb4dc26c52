// Snapshots of all disks of a VM. They are internal ones of its qcow2 files: QEMU 7.2 makes those of several
// disks as one transaction, also while the guest runs, and neither the sandbox nor what is backed up of a VM
// gets files that it does not know. The record is what tells which there are.
#pragma once

#include "daemon/qemu_disks.hpp"
#include "daemon/vm_guest.hpp"
#include "daemon/vm_power.hpp"
#include "daemon/vm_restore.hpp"
#include "lib/vm_disks.hpp"

namespace capsul {

class VmSnapshots {
  public:
    VmSnapshots(const VmHost& host, const VmPower& power, VmGuest& guest)
        : host_(host), power_(power), guest_(guest), restore_(host, power) {}

    /// Has what a crash left half-done undone, as the VMs' next actions: snapshots that were being made or
    /// deleted go, disks that were being restored are all of one time again. A guest that was frozen goes on.
    void recover();

    // Each blocks until it is done, as the VM's next action.
    Snapshot create(const VmSnapshotCreate& call, Progress& progress);
    Restored restore(const VmSnapshotRestore& call, Progress& progress);
    Snapshot remove(const VmSnapshotDelete& call, Progress& progress);

  private:
    [[nodiscard]] Snapshot planned(VmRecord& vm, const VmSnapshotCreate& call) const;
    void make(const VmRecord& vm, Snapshot& snapshot, Progress& progress);
    [[nodiscard]] bool make_running(const VmRecord& vm, const Snapshot& snapshot, Progress& progress);
    void erase(VmRecord& vm, const Name& snapshot) const;
    void erase_from_disks(const VmRecord& vm, const Snapshot& snapshot) const;
    Json finish_left(const Name& name);

    const VmHost& host_;
    const VmPower& power_;
    VmGuest& guest_;
    const VmRestore restore_;
};

} // namespace capsul
