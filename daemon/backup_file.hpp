// The archive that a backup is, on its way out.
#pragma once

#include "daemon/backup_manifest.hpp"

#include <filesystem>
#include <functional>

namespace capsul {

/// Writes `target`, new: the manifest, whose members become the files in `folder`, and these. `on_percent` is
/// told how far it is; what it throws ends it. Throws Error (no_space and such); `target` may be left
/// half-made then.
void write_backup(const std::filesystem::path& target, BackupManifest& manifest,
                  const std::filesystem::path& folder, const std::function<void(int)>& on_percent);

/// The member that a file would be.
[[nodiscard]] BackupMember measured(const std::filesystem::path& file,
                                    const std::function<void(std::uint64_t)>& on_read);

} // namespace capsul
