// The folder of image files: each under the digest of what was imported, read-only, placed whole or not at
// all.
#pragma once

#include "daemon/store.hpp"
#include "daemon/upload_file.hpp"

#include <filesystem>
#include <optional>
#include <set>
#include <string>

namespace capsul {

/// "sha256-HEX.qcow2" and so on.
[[nodiscard]] std::string disk_file_name(const Digest& digest);
[[nodiscard]] std::string kernel_file_name(const Digest& digest);
[[nodiscard]] std::string initrd_file_name(const Digest& digest);

/// The names of all files of an image.
[[nodiscard]] std::set<std::string> files_of(const Digest& disk, const std::optional<DirectKernel>& boot);

/// Why the files of a record in `folder` cannot be used; empty when they can.
[[nodiscard]] std::string missing_file(const std::filesystem::path& folder, const ImageRecord& record);

/// Does beforehand what takes long in place_file: writing a large file to disk.
void prepare_file(const TemporaryFile& file, const std::filesystem::path& target);
/// Moves `file` to `target`, durably and read-only; when the same content is there already, nothing is done.
void place_file(TemporaryFile& file, const std::filesystem::path& target);

/// The names of all files that a VM, or an image that is not among `without`, needs. Nothing when that cannot
/// be told for certain, since a record is unreadable: then no file may be removed.
[[nodiscard]] std::optional<std::set<std::string>> needed_files(Store& store,
                                                                const std::set<Name>& without = {});

/// Removes what place_file and the store's temporaries left in `folder`, except `needed`.
void remove_other_files(const std::filesystem::path& folder, const std::set<std::string>& needed);

} // namespace capsul
