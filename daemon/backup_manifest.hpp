// The manifest of a backup: the first member of the archive, which says what the others are. Pure.
#pragma once

#include "lib/backup.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// A file in the archive, under the name of a plain file.
struct BackupMember {
    std::string name;
    std::uint64_t size = 0;
    Digest digest;

    static constexpr auto fields() {
        return field_list(required("name", &BackupMember::name), required("size", &BackupMember::size),
                          required("digest", &BackupMember::digest));
    }
};

struct BackupManifest {
    int format = 1;
    Timestamp created;
    std::string capsul; ///< its version, for people
    Consistency consistency = Consistency::crash;
    VmRecord vm;                             ///< without snapshots
    Name image;                              ///< what the image is called whose digest the record has
    std::map<std::string, std::string> seed; ///< the files of its seed, by name
    std::vector<BackupMember> members;       ///< in their order in the archive

    static constexpr auto fields() {
        return field_list(
            required("format", &BackupManifest::format), required("created", &BackupManifest::created),
            required("capsul", &BackupManifest::capsul),
            required("consistency", &BackupManifest::consistency), required("vm", &BackupManifest::vm),
            required("image", &BackupManifest::image), required("seed", &BackupManifest::seed),
            required("members", &BackupManifest::members));
    }
};

inline constexpr const char* backup_manifest_file = "manifest.json";
inline constexpr const char* backup_image_file = "image.qcow2";
inline constexpr const char* backup_kernel_file = "image.kernel";
inline constexpr const char* backup_initrd_file = "image.initrd";

/// More than any has.
constexpr std::size_t longest_backup_manifest = std::size_t{4} << 20U;

/// "disk.qcow2", "disk-data.qcow2": the members that are the VM's disks, in the order of guest_disks().
[[nodiscard]] std::vector<std::string> backup_disk_files(const VmRecord& vm);
/// Those that are what it is made from.
[[nodiscard]] std::vector<std::string> backup_image_files(const VmRecord& vm);
[[nodiscard]] bool has_image(const BackupManifest& manifest);

/// The text of the member.
[[nodiscard]] std::string backup_manifest_text(const BackupManifest& manifest);

/// From a stranger's archive. Throws Error (invalid) unless everything in it is such as capsul writes: then
/// the record is one that a VM may have, and the members are the files that it needs, each once.
[[nodiscard]] BackupManifest parse_backup_manifest(std::string_view text);

} // namespace capsul
