// The disks of a VM beside the one that it boots from, and the snapshots of all of them.
#pragma once

#include "lib/json.hpp"
#include "lib/name.hpp"
#include "lib/size.hpp"

#include <map>
#include <string>
#include <string_view>

namespace capsul {

/// What the disk that a VM boots from is called among its disks.
inline constexpr std::string_view root_disk = "root";

/// The most data disks that a VM can have, and the most snapshots.
constexpr int most_disks = 8;
constexpr std::size_t most_snapshots = 32;

/// The name of a data disk: a Name of at most 20 characters, as many as a virtio disk's serial number holds
/// (VIRTIO 1.1, 5.2.6.1), and not "root".
class DiskName {
  public:
    DiskName() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static DiskName parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return name_.to_string(); }
    auto operator<=>(const DiskName&) const = default;

  private:
    Name name_;
};

/// A disk that the guest finds as /dev/disk/by-id/virtio-NAME.
struct DataDisk {
    DiskName name;
    int slot = 0; ///< its place in the VM for as long as it is there
    Bytes size;
    Timestamp created;

    static constexpr auto fields() {
        return field_list(required("name", &DataDisk::name), required("slot", &DataDisk::slot),
                          required("size", &DataDisk::size), required("created", &DataDisk::created));
    }
    auto operator<=>(const DataDisk&) const = default;
};

/// What all disks of a VM were at a moment.
struct Snapshot {
    Name name;
    Timestamp created;
    std::map<std::string, Bytes> disks; ///< their sizes at the time; the first disk's under "root"
    bool frozen = false; ///< the guest's file systems were at rest meanwhile: else it is as after a power cut
    bool finished = true; ///< else it is being made or deleted

    static constexpr auto fields() {
        return field_list(required("name", &Snapshot::name), required("created", &Snapshot::created),
                          required("disks", &Snapshot::disks), optional("frozen", &Snapshot::frozen),
                          optional("finished", &Snapshot::finished));
    }
    auto operator<=>(const Snapshot&) const = default;
};

/// A size to come to: "20G", or "+10G", which is so much more than there is.
class NewSize {
  public:
    NewSize() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static NewSize parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
    /// Throws Error (invalid) when nothing is so large.
    [[nodiscard]] Bytes from(Bytes present) const;
    auto operator<=>(const NewSize&) const = default;

  private:
    Bytes amount_;
    bool is_added_ = false;
};

} // namespace capsul
