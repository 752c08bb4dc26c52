#include "daemon/vm_backup.hpp"

#include "daemon/backup_file.hpp"
#include "daemon/disk_file.hpp"
#include "daemon/download_file.hpp"
#include "daemon/file_copy.hpp"
#include "daemon/seed_iso.hpp"
#include "daemon/upload_file.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

constexpr auto look_again = 200ms;
/// Bytes that QEMU may write meanwhile.
constexpr std::uint64_t between_two_looks = std::uint64_t{64} << 20U;

/// There while QEMU copies: a crash leaves it, and so it is known whose guest may stand still.
fs::path mark_of(const VmHost& host, const Name& name) {
    return host.paths.vm(name) / ".backup";
}

/// What the mark says of a guest that stood still before.
constexpr std::string_view was_paused = "paused";

/// What the guest writes while QEMU copies fails where the copy finds no space, and QEMU stops the guest: it
/// goes on, and writes that again. With the mark there. Throws Error when it stands still all the same.
void wake(const VmHost& host, const Name& name) {
    const auto monitor = host.monitors.connection(name, 5s);
    const Json answer = monitor->execute("query-status");
    const auto status = answer.find("status");
    const bool has_failed = status != answer.end() && *status == Json("io-error");
    if (!has_failed || read_file(mark_of(host, name)) == was_paused) {
        return;
    }
    try {
        monitor->execute("cont");
    } catch (const Error& error) {
        throw Error(error.code(),
                    about(name, fmt::format("is paused since a write failed while it was backed up: {}",
                                            error.what())),
                    "`capsulctl vm resume " + name.to_string() + "` gets it going; no backup was made");
    }
}

/// The disks, and where their copies go.
std::vector<std::pair<GuestDisk, fs::path>> copies_in(const VmHost& host, const VmRecord& vm,
                                                      const fs::path& folder) {
    std::vector<std::pair<GuestDisk, fs::path>> copies;
    for (const GuestDisk& disk : guest_disks(vm, host.files(vm))) {
        copies.emplace_back(disk, folder / disk.file.filename());
    }
    return copies;
}

/// Of the copies, and of an archive that cannot be compressed. Where it is QEMU that finds no space, other
/// guests stand still for want of it.
void require_space(const VmHost& host, const VmRecord& vm, bool with_image) {
    std::uint64_t disks = 0;
    for (const GuestDisk& disk : guest_disks(vm, host.files(vm))) {
        disks += allocated_bytes(disk.file).value_or(0);
    }
    const std::uint64_t image = with_image ? allocated_bytes(host.files(vm).base).value_or(0) : 0;
    check_free_space(host.paths.downloads(), 2 * disks + image, about(vm.name, "the backup"));
}

/// Records of images come and go; the VM's own keeps the files.
Name image_name(const VmHost& host, const VmRecord& vm) {
    for (const auto& image : host.store.images.list()) {
        if (image.record && image.record->digest == vm.image_digest) {
            return image.name;
        }
    }
    return vm.image;
}

std::map<std::string, std::string> seed_of(const VmHost& host, const VmRecord& vm) {
    constexpr std::size_t most = std::size_t{16} << 20U;
    const fs::path seed = host.files(vm).seed();
    try {
        return files_in_seed_iso(read_file(seed, most));
    } catch (const Error& error) {
        throw Error(error.code(), about(vm.name, seed.string() + ": " + error.what()), error.hint());
    }
}

bool is_up(const VmHost& host, const Name& name) {
    return host.systemd.status(vm_unit_name(name)).active_state == "active";
}

void require_going_on(const VmRecord& vm, const Progress& progress) {
    if (progress.cancelled()) {
        throw Error(ErrorCode::unreachable, about(vm.name, "capsuld is stopping: back it up again"));
    }
}

/// Where it is not QEMU that finds no space, and not before anything is done.
template <class Work>
auto with_advice(const Name& name, const Work& work) {
    try {
        return work();
    } catch (const Error& error) {
        if (error.code() != ErrorCode::no_space || !error.hint().empty()) {
            throw;
        }
        throw Error(error.code(), about(name, fmt::format("no space left for the backup: {}", error.what())),
                    "free some space on the disk where capsul keeps its data");
    }
}

/// QEMU keeps a descriptor of each copy for as long as its VM is paused, and would keep the space with it.
void empty_copies(const VmHost& host, const VmRecord& vm, const fs::path& folder) {
    for (const auto& [disk, file] : copies_in(host, vm, folder)) {
        std::error_code gone;
        fs::resize_file(file, 0, gone);
    }
}

/// What is in the manifest but for the members.
BackupManifest described(const VmHost& host, VmRecord vm) {
    BackupManifest manifest;
    manifest.capsul = CAPSUL_VERSION;
    manifest.image = image_name(host, vm);
    manifest.seed = seed_of(host, vm);
    vm.snapshots.clear();
    vm.memory_before.reset();
    manifest.vm = std::move(vm);
    return manifest;
}

void write_archive(const fs::path& file, BackupManifest& manifest, const fs::path& folder, const VmHost& host,
                   Progress& progress) {
    progress.message("writing the archive");
    try {
        with_advice(manifest.vm.name, [&] {
            write_backup(file, manifest, folder, [&](int percent) {
                progress.percent(percent);
                require_going_on(manifest.vm, progress);
            });
        });
    } catch (...) {
        empty_copies(host, manifest.vm, folder);
        throw;
    }
    empty_copies(host, manifest.vm, folder);
}

} // namespace

BackedUp VmBackups::make(const VmBackup& call, Progress& progress) {
    OutgoingFile file(host_.paths.downloads());
    const fs::path folder = file.source();
    progress.message("waiting for what is done to the VM");
    BackupManifest manifest = run_as_action(host_, "vm.backup-copy", call.name, [&] {
        return with_advice(call.name, [&] { return copy(call, folder, progress); });
    });
    write_archive(file.path(), manifest, folder, host_, progress);
    host_.events.add("vm.backed-up", call.name.to_string(),
                     {{"consistency", std::string(to_string(manifest.consistency))}});
    return {call.name, manifest.created, manifest.consistency, has_image(manifest), file.finish()};
}

BackupManifest VmBackups::copy(const VmBackup& call, const fs::path& folder, Progress& progress) {
    const VmRecord vm = host_.store.vms.load(call.name);
    require_no_restore(vm);
    const bool runs = power_.is_running(call.name);
    require_space(host_, vm, call.image);
    BackupManifest manifest = described(host_, vm);
    make_folders(folder);
    if (call.image) {
        link_image(vm, folder);
    }
    manifest.created = Timestamp::now();
    if (runs) {
        manifest.consistency = copy_running(vm, folder, progress);
    } else {
        copy_stopped(vm, folder, progress);
        manifest.consistency = Consistency::stopped;
    }
    return manifest;
}

/// The VM's record keeps them until they are linked.
void VmBackups::link_image(const VmRecord& vm, const fs::path& folder) const {
    const VmFiles files = host_.files(vm);
    fs::create_hard_link(files.base, folder / backup_image_file);
    if (files.kernel) {
        fs::create_hard_link(*files.kernel, folder / backup_kernel_file);
    }
    if (files.initrd) {
        fs::create_hard_link(*files.initrd, folder / backup_initrd_file);
    }
}

/// The copies have neither snapshots nor the name of a file of this host in them.
void VmBackups::copy_stopped(const VmRecord& vm, const fs::path& folder, Progress& progress) const {
    progress.message("copying the disks");
    const auto copies = copies_in(host_, vm, folder);
    std::uint64_t total = 1;
    for (const auto& [disk, target] : copies) {
        total += allocated_bytes(disk.file).value_or(0);
    }
    std::uint64_t done = 0;
    for (const auto& [disk, target] : copies) {
        copy_file_sparsely(disk.file, target, [&](std::uint64_t bytes) {
            done += bytes;
            progress.percent(static_cast<int>(std::min<std::uint64_t>(done * 100 / total, 100)));
            require_going_on(vm, progress);
        });
        forget_base(target);
        const GuestDisk copied{disk.name, disk.id, target};
        for (const std::string& snapshot : snapshots_in(copied)) {
            delete_snapshot(copied, snapshot);
        }
    }
    if (power_.is_running(vm.name)) { // nothing keeps `systemctl start` from it
        throw Error(ErrorCode::wrong_state, about(vm.name, "was started while it was backed up"),
                    "back it up again: it may run");
    }
}

Consistency VmBackups::copy_running(const VmRecord& vm, const fs::path& folder, Progress& progress) {
    const QemuBackup copies(host_.monitors.connection(vm.name, 5s));
    copies.end(); // what was never ended
    replace_file(mark_of(host_, vm.name), host_.monitors.paused(vm.name) ? was_paused : "");
    try {
        for (const auto& [disk, target] : copies_in(host_, vm, folder)) {
            create_data_disk(target, size_of_disk(disk.file));
            copies.add_target(disk, target);
        }
        const Consistency consistency = begin(vm, copies, progress);
        await(vm, copies, progress);
        copies.end();
        wake(host_, vm.name);
        fs::remove(mark_of(host_, vm.name));
        return consistency;
    } catch (...) {
        empty_copies(host_, vm, folder); // the guest may need the space to go on
        undo(vm, copies);
        throw;
    }
}

/// Throws Error: wrong_state where there is nothing to undo, since the VM has stopped; and when its guest
/// stands still.
void VmBackups::undo(const VmRecord& vm, const QemuBackup& copies) const {
    if (!is_up(host_, vm.name)) {
        fs::remove(mark_of(host_, vm.name));
        throw Error(ErrorCode::wrong_state, about(vm.name, "has stopped while it was backed up"),
                    "back it up again: it may be stopped");
    }
    try {
        copies.end();
    } catch (const Error&) {
        return; // The mark stays: the next start of capsuld, or the next backup, ends them.
    }
    wake(host_, vm.name);
    if (guest_.thaw(vm.name, 5s)) {
        fs::remove(mark_of(host_, vm.name)); // else the next start of capsuld tries that again
    }
}

/// The guest's file systems go on whatever happens.
Consistency VmBackups::begin(const VmRecord& vm, const QemuBackup& copies, Progress& progress) {
    progress.message("asking the guest to hold still");
    const Frozen frozen = host_.monitors.paused(vm.name) ? Frozen::no : guest_.freeze(vm.name, progress);
    try {
        copies.begin(guest_disks(vm, host_.files(vm)));
    } catch (...) {
        if (frozen != Frozen::no && is_up(host_, vm.name)) {
            guest_.thaw(vm.name);
        }
        throw;
    }
    if (frozen != Frozen::no && !guest_.thaw(vm.name)) {
        throw stands_still(vm.name, "no backup was made");
    }
    return frozen == Frozen::yes ? Consistency::frozen : Consistency::crash;
}

void VmBackups::await(const VmRecord& vm, const QemuBackup& copies, Progress& progress) const {
    progress.message("copying the disks");
    const std::vector<GuestDisk> disks = guest_disks(vm, host_.files(vm));
    while (true) {
        const QemuBackup::Standing standing = copies.standing(disks);
        progress.percent(standing.percent);
        if (standing.is_finished) {
            return;
        }
        require_going_on(vm, progress);
        check_free_space(host_.paths.downloads(), between_two_looks, about(vm.name, "the backup"));
        std::this_thread::sleep_for(look_again);
    }
}

void VmBackups::recover() {
    for (const Stored<VmRecord>& stored : host_.store.vms.list()) {
        if (fs::exists(fs::symlink_status(mark_of(host_, stored.name)))) {
            submit_action(host_, "vm.backup-undo", stored.name,
                          [this, name = stored.name](Progress&) { return finish_left(name); });
        }
    }
}

Json VmBackups::finish_left(const Name& name) {
    if (power_.is_running(name)) {
        const bool goes_on = guest_.thaw(name, 5s);
        QemuBackup(host_.monitors.connection(name, 5s)).end();
        wake(host_, name);
        if (!goes_on) {
            throw stands_still(name, "no backup was made"); // the mark stays
        }
    }
    fs::remove(mark_of(host_, name));
    return Json::object();
}

} // namespace capsul
