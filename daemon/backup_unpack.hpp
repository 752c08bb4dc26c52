// The archive that a backup is, on its way in: from a stranger, whatever it says.
#pragma once

#include "daemon/backup_manifest.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/sandboxed_tool.hpp"

namespace capsul {

/// What the archive `file` says of itself, by way of `folder`, where nothing of it is left. Throws Error:
/// invalid for one that is no backup, verification for a damaged one, and what SandboxedTool::run throws.
[[nodiscard]] BackupManifest read_backup_manifest(const SandboxedTool& tool, const fs::path& file,
                                                  const fs::path& folder, Progress& progress);

/// Unpacks all members into `folder`, each under its name, and holds them against the manifest. Throws Error:
/// verification for what is not as it says, no_space, and as above.
void unpack_backup(const SandboxedTool& tool, const fs::path& file, const BackupManifest& manifest,
                   const fs::path& folder, Progress& progress);

/// Judges the unpacked disks of the VM: each is a qcow2 such as capsul makes, of the size that the record
/// says, whole, without snapshots, and refers to no other file. Throws Error: verification, invalid,
/// too_large.
void check_backup_disks(const SandboxedTool& tool, const VmRecord& vm, const fs::path& folder, Bytes max_size,
                        Progress& progress);

/// Has the first of them say that it is laid over `base`. They are durable then.
void lay_over(const SandboxedTool& tool, const VmRecord& vm, const fs::path& folder, const fs::path& base,
              Progress& progress);

} // namespace capsul
