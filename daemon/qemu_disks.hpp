// The disks of a QEMU that runs, by way of its monitor.
#pragma once

#include "daemon/qemu_config.hpp"
#include "daemon/qmp_client.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace capsul {

class QemuDisks {
  public:
    explicit QemuDisks(std::shared_ptr<QmpClient> monitor) : monitor_(std::move(monitor)) {}

    /// Throws Error: no_space, internal.
    void grow(const GuestDisk& disk, Bytes size) const;

    /// Of all or of none.
    void make_snapshot(const std::vector<GuestDisk>& disks, const std::string& name) const;
    /// Nothing where there is none.
    void delete_snapshot(const GuestDisk& disk, const std::string& name) const;

    /// Whether there is a port to plug the disk into.
    [[nodiscard]] bool has_port(const DataDisk& disk) const;
    /// Gives the guest a disk of which QEMU has no part. QEMU, which sees no new files, gets this one opened.
    /// When it throws, QEMU may have it all the same: has_part_of tells.
    void plug(const DataDisk& disk, const fs::path& file) const;
    /// Asks the guest to let go of it; nothing when it is not there.
    void ask_for(const DiskName& disk) const;
    /// Whether the guest has it still.
    [[nodiscard]] bool has_device(const DiskName& disk) const;
    /// Whether the guest has it, or its file is open.
    [[nodiscard]] bool has_part_of(const DiskName& disk) const;
    /// Closes the file of a disk that the guest has let go of.
    void close(const DiskName& disk) const;

  private:
    [[nodiscard]] bool has_object(const std::string& name) const;
    [[nodiscard]] bool has_node(const DiskName& disk) const;
    void add_node(const DataDisk& disk, const fs::path& file) const;

    std::shared_ptr<QmpClient> monitor_;
};

} // namespace capsul
