// Takes the disks of a stopped VM back to a snapshot: all of them, or none. The record says that it is under
// way, and QEMU's configuration is away meanwhile: so nobody starts the VM with one disk of now and one of
// then, not even systemd after a crash of the host.
#pragma once

#include "daemon/qemu_config.hpp"
#include "daemon/vm_power.hpp"

namespace capsul {

/// Those that the snapshot is of; a disk that has been removed is in none.
[[nodiscard]] std::vector<GuestDisk> disks_of(const VmHost& host, const VmRecord& vm,
                                              const Snapshot& snapshot);

class VmRestore {
  public:
    VmRestore(const VmHost& host, const VmPower& power) : host_(host), power_(power) {}

    /// Blocks. When it throws, the disks are what they were, or the record still says that they are half-way.
    void run(VmRecord vm, const Snapshot& snapshot, Progress& progress) const;

    /// For a record that says so: undone, or finished when it had come that far. Throws Error when neither
    /// can be.
    void settle(const VmRecord& vm) const;

  private:
    void apply(const VmRecord& vm, const Snapshot& snapshot, Progress& progress) const;
    void finish(VmRecord vm) const;

    const VmHost& host_;
    const VmPower& power_;
};

} // namespace capsul
