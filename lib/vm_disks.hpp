// The calls about what a VM has of hardware and disks: its size, data disks, snapshots, copies.
#pragma once

#include "lib/vm.hpp"

#include <optional>
#include <vector>

namespace capsul {

struct Resized {
    Vm vm;
    bool at_next_start = false;      ///< QEMU runs with the CPUs or memory of before
    std::optional<Bytes> guest_disk; ///< how large the guest sees its first disk, if its agent told
    static constexpr auto fields() {
        return field_list(required("vm", &Resized::vm), required("at_next_start", &Resized::at_next_start),
                          optional("guest_disk", &Resized::guest_disk));
    }
};
/// Makes the first disk larger, at once; never smaller. CPUs and memory are those of the next start.
struct VmResize {
    Name name;
    std::optional<NewSize> disk;
    std::optional<CpuCount> cpus;
    std::optional<Bytes> memory;
    using Result = Resized;
    static constexpr Route route{Method::post, "/v1/vms/{name}/resize", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmResize::name), optional("disk", &VmResize::disk),
                          optional("cpus", &VmResize::cpus), optional("memory", &VmResize::memory));
    }
};

/// The VM after a change, and the disk that has come or gone.
struct DiskChange {
    Vm vm;
    DataDisk disk;
    static constexpr auto fields() {
        return field_list(required("vm", &DiskChange::vm), required("disk", &DiskChange::disk));
    }
};
/// Adds an empty disk; a running VM gets it at once.
struct VmDiskAdd {
    Name name;
    Bytes size;
    std::optional<DiskName> disk; ///< made up when absent
    using Result = DiskChange;
    static constexpr Route route{Method::post, "/v1/vms/{name}/disks", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmDiskAdd::name), required("size", &VmDiskAdd::size),
                          optional("disk", &VmDiskAdd::disk));
    }
};
/// Takes a disk away, from a running VM too, and deletes it, also what snapshots hold of it.
struct VmDiskRemove {
    Name name;
    DiskName disk;
    using Result = DiskChange;
    static constexpr Route route{Method::delete_, "/v1/vms/{name}/disks/{disk}", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmDiskRemove::name), required("disk", &VmDiskRemove::disk));
    }
};

/// Of all disks at one moment. While the VM runs its guest's file systems are frozen for it if its agent can.
struct VmSnapshotCreate {
    Name name;
    std::optional<Name> snapshot; ///< made up from the time when absent
    using Result = Snapshot;
    static constexpr Route route{Method::post, "/v1/vms/{name}/snapshots", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmSnapshotCreate::name),
                          optional("snapshot", &VmSnapshotCreate::snapshot));
    }
};

struct Restored {
    Snapshot snapshot;
    std::vector<DiskName> untouched; ///< disks that are newer than the snapshot
    static constexpr auto fields() {
        return field_list(required("snapshot", &Restored::snapshot),
                          required("untouched", &Restored::untouched));
    }
};
/// Makes the disks of a stopped VM what they were, in content and size. What came after is lost, but for
/// other snapshots.
struct VmSnapshotRestore {
    Name name;
    Name snapshot;
    using Result = Restored;
    static constexpr Route route{Method::post, "/v1/vms/{name}/snapshots/{snapshot}/restore",
                                 Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmSnapshotRestore::name),
                          required("snapshot", &VmSnapshotRestore::snapshot));
    }
};

struct VmSnapshotDelete {
    Name name;
    Name snapshot;
    using Result = Snapshot; ///< as it was
    static constexpr Route route{Method::delete_, "/v1/vms/{name}/snapshots/{snapshot}", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmSnapshotDelete::name),
                          required("snapshot", &VmSnapshotDelete::snapshot));
    }
};

struct Cloned {
    Vm vm;
    std::vector<PublishedPort> left_out; ///< ports of the other VM's that the copy does not publish
    static constexpr auto fields() {
        return field_list(required("vm", &Cloned::vm), required("left_out", &Cloned::left_out));
    }
};
/// Copies a stopped VM with its disks and snapshots. The copy has an identity and addresses of its own.
struct VmClone {
    Name name;
    Name to;
    std::vector<PublishedPort> publish; ///< instead of those of the other VM's, which it keeps
    bool start = false;
    using Result = Cloned;
    static constexpr Route route{Method::post, "/v1/vms/{name}/clone", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &VmClone::name), required("to", &VmClone::to),
                          optional("publish", &VmClone::publish), optional("start", &VmClone::start));
    }
};

} // namespace capsul
