#include "daemon/backup_unpack.hpp"

#include "daemon/backup_file.hpp"
#include "daemon/image_check.hpp"
#include "daemon/qcow2_header.hpp"
#include "daemon/unpack_tool.hpp"
#include "daemon/upload_file.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits>
#include <unistd.h>

namespace capsul {
namespace {

constexpr const char* advice = "copy it once more from where it was kept, or take another backup";

std::uint64_t total_size(const BackupManifest& manifest) {
    constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
    std::uint64_t total = 0;
    for (const BackupMember& member : manifest.members) {
        total = member.size > most - total ? most : total + member.size;
    }
    return total;
}

UnpackRun run_for(const BackupManifest& manifest, const fs::path& file, const fs::path& folder) {
    UnpackRun run{.work = "unpacking the backup",
                  .words = {"backup", file.string()},
                  .file = file,
                  .targets = {},
                  .largest = {},
                  .hint = advice};
    std::uint64_t largest = 0;
    for (const BackupMember& member : manifest.members) {
        run.targets.push_back(folder / member.name);
        run.words.insert(run.words.end(),
                         {member.name, std::to_string(member.size), run.targets.back().string()});
        largest = std::max(largest, member.size);
    }
    run.largest = Bytes(largest);
    return run;
}

/// Here, since whoever unpacked it may have been taken over.
void verify(const BackupManifest& manifest, const fs::path& folder, Progress& progress) {
    progress.message("verifying what was unpacked");
    const std::uint64_t total = std::max<std::uint64_t>(total_size(manifest), 1);
    std::uint64_t done = 0;
    for (const BackupMember& wanted : manifest.members) {
        const BackupMember found = measured(folder / wanted.name, [&](std::uint64_t bytes) {
            if (progress.cancelled()) {
                throw Error(ErrorCode::unreachable, "capsuld is stopping: restore it again");
            }
            done += bytes;
            progress.percent(static_cast<int>(std::min<std::uint64_t>(done * 100 / total, 100)));
        });
        if (found.size != wanted.size || found.digest != wanted.digest) {
            throw Error(ErrorCode::verification,
                        fmt::format("the backup is damaged: {} has {}, and its manifest says {}", wanted.name,
                                    found.digest.to_string(), wanted.digest.to_string()),
                        advice);
        }
    }
}

/// Throws Error unless it is of the kind that capsul makes.
Qcow2Header own_header(const fs::path& file) {
    constexpr std::size_t length = 112;
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW);
    std::string start(length, '\0');
    const ssize_t got = ::pread(fd.get(), start.data(), start.size(), 0);
    if (got < 0) {
        throw_errno(errno, file.string());
    }
    start.resize(static_cast<std::size_t>(got));
    return read_own_qcow2_header(start);
}

void require_size(const Qcow2Header& header, Bytes size) {
    if (header.virtual_size != size.count()) {
        throw Error(ErrorCode::invalid,
                    fmt::format("it is a disk of {}, and its record says {}",
                                Bytes(header.virtual_size).to_string(), size.to_string()),
                    advice);
    }
}

void sync_file(const fs::path& file) {
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW);
    if (::fsync(fd.get()) != 0) {
        throw_errno(errno, file.string());
    }
}

/// A check that is for any disk comes first: after that the header is of a file that is whole.
void check_disk(const QemuImg& qemu_img, const fs::path& file, Bytes size, Bytes max_size) {
    const CheckedDisk checked = check_disk_file(qemu_img, file, max_size);
    if (checked.format != ImageFormat::qcow2) {
        throw Error(ErrorCode::invalid, "it is no qcow2 file", advice);
    }
    const Qcow2Header header = own_header(file);
    require_size(header, size);
    if (header.snapshots != 0) {
        throw Error(ErrorCode::invalid, "it has snapshots",
                    "capsul leaves them out: take them out with `qemu-img snapshot -d`");
    }
}

} // namespace

BackupManifest read_backup_manifest(const SandboxedTool& tool, const fs::path& file, const fs::path& folder,
                                    Progress& progress) {
    progress.message("reading the backup's manifest");
    const TemporaryFile text(folder / backup_manifest_file);
    run_unpack(tool,
               {.work = "unpacking the backup",
                .words = {"backup-manifest", file.string(), text.path().string(),
                          std::to_string(longest_backup_manifest)},
                .file = file,
                .targets = {text.path()},
                .largest = Bytes(longest_backup_manifest),
                .hint = advice},
               progress);
    return parse_backup_manifest(read_file(text.path(), longest_backup_manifest));
}

void unpack_backup(const SandboxedTool& tool, const fs::path& file, const BackupManifest& manifest,
                   const fs::path& folder, Progress& progress) {
    check_free_space(folder, total_size(manifest), "unpacking the backup");
    progress.message("unpacking the backup");
    run_unpack(tool, run_for(manifest, file, folder), progress);
    verify(manifest, folder, progress);
}

void check_backup_disks(const SandboxedTool& tool, const VmRecord& vm, const fs::path& folder, Bytes max_size,
                        Progress& progress) {
    progress.message("checking the disks");
    const QemuImg qemu_img(tool, [&progress] { return progress.cancelled(); });
    const std::vector<std::string> names = backup_disk_files(vm);
    for (std::size_t i = 0; i < names.size(); ++i) {
        try {
            check_disk(qemu_img, folder / names[i], i == 0 ? vm.disk : vm.disks[i - 1].size, max_size);
        } catch (const Error& error) {
            throw Error(error.code(), fmt::format("{} in the backup: {}", names[i], error.what()),
                        error.hint());
        }
    }
}

/// It may have taken qemu-img over: so its header is looked at once more.
void lay_over(const SandboxedTool& tool, const VmRecord& vm, const fs::path& folder, const fs::path& base,
              Progress& progress) {
    const std::vector<std::string> names = backup_disk_files(vm);
    QemuImg(tool, [&progress] { return progress.cancelled(); }).set_base(folder / names.front(), base);
    require_size(own_header(folder / names.front()), vm.disk);
    for (const std::string& name : names) {
        sync_file(folder / name);
    }
}

} // namespace capsul
