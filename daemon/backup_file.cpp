#include "daemon/backup_file.hpp"

#include "daemon/digest.hpp"
#include "daemon/file_copy.hpp"
#include "daemon/tar_writer.hpp"

#include <algorithm>

namespace capsul {
namespace {

namespace fs = std::filesystem;

/// The disks, then what they lie over, if it is there.
std::vector<std::string> files_in(const fs::path& folder, const VmRecord& vm) {
    std::vector<std::string> names = backup_disk_files(vm);
    if (fs::exists(folder / backup_image_file)) {
        std::ranges::copy(backup_image_files(vm), std::back_inserter(names));
    }
    return names;
}

std::uint64_t total_size(const fs::path& folder, const std::vector<std::string>& names) {
    std::uint64_t total = 1;
    for (const std::string& name : names) {
        total += fs::file_size(folder / name);
    }
    return total;
}

} // namespace

BackupMember measured(const fs::path& file, const std::function<void(std::uint64_t)>& on_read) {
    Hash hash(Hash::Kind::sha256);
    std::uint64_t size = 0;
    for_each_piece(file, [&](std::string_view piece) {
        hash.add(piece);
        size += piece.size();
        on_read(piece.size());
    });
    return {file.filename().string(), size, Digest::parse("sha256:" + hash.finish())};
}

/// Each file is read twice: the manifest comes first.
void write_backup(const fs::path& target, BackupManifest& manifest, const fs::path& folder,
                  const std::function<void(int)>& on_percent) {
    const std::vector<std::string> names = files_in(folder, manifest.vm);
    const std::uint64_t total = 2 * total_size(folder, names);
    std::uint64_t done = 0;
    const auto tell = [&](std::uint64_t bytes) {
        done += bytes;
        on_percent(static_cast<int>(std::min<std::uint64_t>(done * 100 / total, 100)));
    };
    for (const std::string& name : names) {
        manifest.members.push_back(measured(folder / name, tell));
    }
    TarWriter tar(target,
                  {.work = "writing the backup", .zstd = true, .mode = 0600, .time = manifest.created});
    tar.add_text(backup_manifest_file, backup_manifest_text(manifest));
    tar.seal(); // who restores it believes the manifest before the rest is read
    for (const BackupMember& member : manifest.members) {
        tar.begin(member.name, member.size);
        for_each_piece(folder / member.name, [&](std::string_view piece) {
            tar.add(piece);
            tell(piece.size());
        });
    }
    tar.finish();
}

} // namespace capsul
