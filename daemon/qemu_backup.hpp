// Copies of the disks of a QEMU that runs, all as of one moment: block jobs of its own, by way of its
// monitor.
#pragma once

#include "daemon/qemu_config.hpp"
#include "daemon/qmp_client.hpp"

#include <memory>
#include <vector>

namespace capsul {

/// There may be one at a time of a VM.
class QemuBackup {
  public:
    /// What one that was never ended has left in this QEMU is in the way until end() is called.
    explicit QemuBackup(std::shared_ptr<QmpClient> monitor) : monitor_(std::move(monitor)) {}

    /// Gives QEMU a file that is to become the copy of `disk`: a qcow2 of its size, empty and without a base.
    void add_target(const GuestDisk& disk, const fs::path& file) const;
    /// The moment that the copies are of: what the guest writes from now on is in none of them. Of a disk
    /// that is laid over a base, what stands in its own file is copied.
    void begin(const std::vector<GuestDisk>& disks) const;

    struct Standing {
        int percent = 0;
        bool is_finished = false;
    };
    /// Throws Error (no_space, internal) when a copy has failed.
    [[nodiscard]] Standing standing(const std::vector<GuestDisk>& disks) const;

    /// Ends copies that are not finished, and takes everything out of QEMU, which closes the files: what
    /// stands in them then is whole. Throws Error (timeout) when it does not let go of them.
    void end() const;

  private:
    [[nodiscard]] std::vector<Json> jobs() const;

    std::shared_ptr<QmpClient> monitor_;
};

} // namespace capsul
