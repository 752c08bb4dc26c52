// Backups of VMs: one archive of all that is needed to have the VM again, here or on another host.
#pragma once

#include "daemon/backup_manifest.hpp"
#include "daemon/qemu_backup.hpp"
#include "daemon/vm_guest.hpp"
#include "daemon/vm_power.hpp"
#include "lib/backup.hpp"

namespace capsul {

class VmBackups {
  public:
    VmBackups(const VmHost& host, const VmPower& power, VmGuest& guest)
        : host_(host), power_(power), guest_(guest) {}

    /// Has what a crash left half-done undone, as the VMs' next actions: copies that QEMU makes are ended,
    /// and a guest that was frozen goes on.
    void recover();

    /// Blocks until it is done. The disks are copied as the VM's next action; what takes long after that is
    /// in nobody's way.
    BackedUp make(const VmBackup& call, Progress& progress);

  private:
    [[nodiscard]] BackupManifest copy(const VmBackup& call, const fs::path& folder, Progress& progress);
    void link_image(const VmRecord& vm, const fs::path& folder) const;
    void copy_stopped(const VmRecord& vm, const fs::path& folder, Progress& progress) const;
    [[nodiscard]] Consistency copy_running(const VmRecord& vm, const fs::path& folder, Progress& progress);
    [[nodiscard]] Consistency begin(const VmRecord& vm, const QemuBackup& copies, Progress& progress);
    void await(const VmRecord& vm, const QemuBackup& copies, Progress& progress) const;
    void undo(const VmRecord& vm, const QemuBackup& copies) const;
    Json finish_left(const Name& name);

    const VmHost& host_;
    const VmPower& power_;
    VmGuest& guest_;
};

} // namespace capsul
