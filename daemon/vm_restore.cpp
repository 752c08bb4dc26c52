#include "daemon/vm_restore.hpp"

#include "daemon/disk_file.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <cstdio>

namespace capsul {
namespace {

/// Of the disks as they are, while they become what they were: no Name has a dot.
constexpr const char* way_back = "capsul.back";

/// Where qemu.conf is while nobody may start the VM. It may have been edited by hand.
fs::path hidden_config(const VmFiles& files) {
    return files.folder / ".hidden-qemu.conf";
}

void move_if_there(const fs::path& from, const fs::path& to) {
    if (::rename(from.c_str(), to.c_str()) == 0) {
        sync_folder(to.parent_path());
    } else if (errno != ENOENT) {
        throw_errno(errno, from.string());
    }
}

} // namespace

std::vector<GuestDisk> disks_of(const VmHost& host, const VmRecord& vm, const Snapshot& snapshot) {
    std::vector<GuestDisk> disks = guest_disks(vm, host.files(vm));
    std::erase_if(disks, [&](const GuestDisk& disk) { return !snapshot.disks.contains(disk.name); });
    return disks;
}

/// Once the record says that all disks are of then, it only goes forward.
void VmRestore::run(VmRecord vm, const Snapshot& snapshot, Progress& progress) const {
    vm.restoring = snapshot.name;
    host_.store.vms.save(vm);
    try {
        move_if_there(host_.files(vm).config(), hidden_config(host_.files(vm)));
        apply(vm, snapshot, progress);
    } catch (...) {
        try {
            settle(vm);
        } catch (const std::exception&) {
            // The VM does not start, and that tells why.
        }
        throw;
    }
    vm.restored = true;
    host_.store.vms.save(vm);
    finish(vm);
}

void VmRestore::apply(const VmRecord& vm, const Snapshot& snapshot, Progress& progress) const {
    const std::vector<GuestDisk> disks = disks_of(host_, vm, snapshot);
    progress.message("keeping a way back");
    for (const GuestDisk& disk : disks) {
        delete_snapshot(disk, way_back);
        make_snapshot(disk, way_back);
    }
    progress.message("restoring the disks");
    for (const GuestDisk& disk : disks) {
        apply_snapshot(disk, snapshot.name.to_string());
    }
}

/// Whatever disk has a way back goes it, unless all have arrived.
void VmRestore::settle(const VmRecord& vm) const {
    if (!vm.restored) {
        for (const GuestDisk& disk : guest_disks(vm, host_.files(vm))) {
            if (snapshots_in(disk).contains(way_back)) {
                apply_snapshot(disk, way_back);
            }
        }
    }
    finish(vm);
}

/// The disks are all of one time again, and as large as the files say.
void VmRestore::finish(VmRecord vm) const {
    const VmFiles files = host_.files(vm);
    for (const GuestDisk& disk : guest_disks(vm, files)) {
        delete_snapshot(disk, way_back);
    }
    vm.disk = size_of_disk(files.disk());
    for (DataDisk& disk : vm.disks) {
        disk.size = size_of_disk(files.data_disk(disk.name));
    }
    move_if_there(hidden_config(files), files.config());
    vm.restoring.reset();
    vm.restored = false;
    host_.store.vms.save(vm);
    power_.refresh_config(vm);
}

} // namespace capsul
