// The qcow2 files of VMs while no QEMU has them. Runs qemu-img, which opens the file alone: neither its base
// nor anything else that it names.
#pragma once

#include "daemon/qemu_config.hpp"

#include <set>
#include <string>

namespace capsul {

/// An empty disk without a base; durable. Throws Error (no_space and such).
void create_data_disk(const fs::path& file, Bytes size);

/// A disk laid over `base`; durable.
void create_overlay(const fs::path& file, const fs::path& base, Bytes size);

/// The size that the guest sees, as the file says; also while QEMU has it.
[[nodiscard]] Bytes size_of_disk(const fs::path& file);

/// The file that it says it is laid over; empty when that is none. It is what a guest may have written.
[[nodiscard]] fs::path base_of_disk(const fs::path& file);

/// Makes it larger; durable. Throws Error: in_use when a QEMU has it after all; so do all below.
void grow_disk(const GuestDisk& disk, Bytes size);

/// Internal snapshots: of the content and the size.
void make_snapshot(const GuestDisk& disk, const std::string& name);
void apply_snapshot(const GuestDisk& disk, const std::string& name);
/// Nothing when there is none.
void delete_snapshot(const GuestDisk& disk, const std::string& name);
[[nodiscard]] std::set<std::string> snapshots_in(const GuestDisk& disk);

/// Has the file no longer say what it is laid over: what stands in it stays as it is. Durable.
void forget_base(const fs::path& file);

} // namespace capsul
