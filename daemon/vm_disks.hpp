// Changing what a VM has of hardware and disks, running or not.
#pragma once

#include "daemon/qemu_disks.hpp"
#include "daemon/vm_guest.hpp"
#include "daemon/vm_power.hpp"
#include "lib/vm_disks.hpp"

namespace capsul {

class VmDisks {
  public:
    VmDisks(const VmHost& host, const VmView& view, const VmPower& power, VmGuest& guest)
        : host_(host), view_(view), power_(power), guest_(guest) {}

    /// Makes records and files agree where a crash has kept them from it. Called once, before anything else.
    void recover() const;

    // Each blocks until it is done, as the VM's next action.
    Resized resize(const VmResize& call, Progress& progress);
    DiskChange add(const VmDiskAdd& call, Progress& progress) const;
    DiskChange remove(const VmDiskRemove& call, Progress& progress) const;

  private:
    void recover_vm(const VmRecord& vm) const;
    void grow_first_disk(VmRecord& vm, const NewSize& wanted, bool runs) const;
    [[nodiscard]] DataDisk planned(const VmRecord& vm, const VmDiskAdd& call) const;
    void bring_in(const VmRecord& vm, const DataDisk& disk, bool runs) const;
    void keep_disk(const VmRecord& before, const fs::path& file) const;
    void take_back(const VmRecord& before, const DataDisk& disk) const;
    void let_go(const Name& name, const DiskName& disk, const Progress& progress) const;
    [[nodiscard]] QemuDisks qemu(const Name& name) const;

    const VmHost& host_;
    const VmView& view_;
    const VmPower& power_;
    VmGuest& guest_;
};

} // namespace capsul
