#include "daemon/vm_disks.hpp"

#include "daemon/disk_file.hpp"
#include "daemon/vm_limits.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

// A guest's kernel takes a second or so, an emulated one on a busy machine longer; one without an operating
// system never lets go.
constexpr auto removal_limit = 60s;
constexpr auto disk_removal_interval = 200ms;

/// Where a data disk is while its record does not have it yet, or no longer. After a crash the record says
/// which: it is moved into place, or removed.
fs::path loose_file(const fs::path& file) {
    return file.parent_path() / ("." + file.filename().string());
}

void move_file(const fs::path& from, const fs::path& to) {
    if (::rename(from.c_str(), to.c_str()) != 0) {
        throw_errno(errno, from.string());
    }
    sync_folder(to.parent_path());
}

DiskName unused_name(const VmRecord& vm) {
    for (int number = 1;; ++number) {
        const auto name = DiskName::parse(number == 1 ? "data" : fmt::format("data{}", number));
        if (std::ranges::find(vm.disks, name, &DataDisk::name) == vm.disks.end()) {
            return name;
        }
    }
}

int free_slot(const VmRecord& vm) {
    int slot = 0;
    while (std::ranges::find(vm.disks, slot, &DataDisk::slot) != vm.disks.end()) {
        ++slot;
    }
    return slot;
}

DataDisk disk_called(const VmRecord& vm, const DiskName& name) {
    const auto found = std::ranges::find(vm.disks, name, &DataDisk::name);
    if (found == vm.disks.end()) {
        throw Error(ErrorCode::not_found, about(vm.name, "has no data disk " + name.to_string()),
                    "`capsulctl vm disk list " + vm.name.to_string() + "` shows those it has");
    }
    return *found;
}

/// Throws Error (wrong_state) unless a QEMU that runs can be given the disk.
void require_place(const QemuDisks& qemu, const Name& vm, const DataDisk& disk) {
    if (!qemu.has_port(disk)) {
        throw Error(ErrorCode::wrong_state,
                    about(vm, "was started by an older capsul, without a place for the disk"),
                    "stop it first, or restart it: `capsulctl restart " + vm.to_string() + "`");
    }
    if (qemu.has_part_of(disk.name)) {
        throw Error(
            ErrorCode::wrong_state,
            about(vm, fmt::format("QEMU has a disk {} that its record does not name", disk.name.to_string())),
            "choose another name, or restart it: `capsulctl restart " + vm.to_string() + "`");
    }
}

/// What a QEMU that runs may have, if that is not what the record says.
std::optional<Bytes> most_memory(const VmRecord& before, const VmRecord& vm) {
    return vm.memory == before.memory ? before.memory_before
                                      : std::max(before.memory, before.memory_before.value_or(before.memory));
}

void check_resize(const VmResize& call) {
    if (!call.disk && !call.cpus && !call.memory) {
        throw Error(ErrorCode::invalid, about(call.name, "nothing is to change"),
                    "give a new size of its disk, or of its memory, or a number of CPUs");
    }
    if (call.memory) {
        check_memory(*call.memory);
    }
}

} // namespace

QemuDisks VmDisks::qemu(const Name& name) const {
    return QemuDisks(host_.monitors.connection(name, 5s));
}

/// What the file says is the truth: QEMU has changed it for good by the time that the record is written, and
/// the guest may use it already. So the record follows the file, here and after a crash.
void VmDisks::grow_first_disk(VmRecord& vm, const NewSize& wanted, bool runs) const {
    const GuestDisk disk = guest_disks(vm, host_.files(vm)).front();
    const Bytes present = size_of_disk(disk.file);
    const Bytes size = wanted.from(present);
    if (size < present) {
        throw Error(
            ErrorCode::invalid,
            about(vm.name, fmt::format("disk: {} is less than it has, {}: a disk is never made smaller",
                                       size.to_string(), present.to_string())),
            "move what is on it to a smaller one: `capsulctl vm disk add`, or a new VM");
    }
    check_disk_size("disk", size, host_.config.image.max_size);
    if (size > present) {
        runs ? qemu(vm.name).grow(disk, size) : grow_disk(disk, size);
    }
    vm.disk = size;
}

Resized VmDisks::resize(const VmResize& call, Progress& progress) {
    check_resize(call);
    const VmRecord before = host_.store.vms.load(call.name);
    require_no_restore(before);
    const bool runs = power_.is_running(call.name);
    VmRecord vm = before;
    vm.cpus = call.cpus.value_or(vm.cpus);
    vm.memory = call.memory.value_or(vm.memory);
    vm.memory_before = runs ? most_memory(before, vm) : std::nullopt;
    if (call.disk) {
        progress.message("making its disk larger");
        grow_first_disk(vm, *call.disk, runs);
    }
    host_.store.vms.save(vm);
    const bool is_other = vm.cpus != before.cpus || vm.memory != before.memory;
    if (is_other) {
        power_.refresh_files(vm);
    }
    host_.events.add("vm.resized", call.name.to_string());
    return {view_.show(call.name), runs && is_other,
            runs && call.disk ? guest_.first_disk_size(call.name, progress) : std::nullopt};
}

DataDisk VmDisks::planned(const VmRecord& vm, const VmDiskAdd& call) const {
    check_disk_size("size", call.size, host_.config.image.max_size);
    if (vm.disks.size() >= std::size_t{most_disks}) {
        throw Error(ErrorCode::invalid,
                    about(vm.name, fmt::format("has {} data disks, the most there can be", most_disks)),
                    "take one away with `capsulctl vm disk rm`");
    }
    const DataDisk disk{call.disk.value_or(unused_name(vm)), free_slot(vm), call.size, Timestamp::now()};
    const fs::path file = host_.files(vm).data_disk(disk.name);
    if (std::ranges::find(vm.disks, disk.name, &DataDisk::name) != vm.disks.end()) {
        throw Error(ErrorCode::exists,
                    about(vm.name, fmt::format("has a disk {} already", disk.name.to_string())),
                    "choose another name, or leave it out");
    }
    if (fs::exists(fs::symlink_status(file))) {
        throw Error(ErrorCode::exists, about(vm.name, fmt::format("{} is in the way", file.string())),
                    "its record does not name this file: move it away, or choose another name");
    }
    return disk;
}

DiskChange VmDisks::add(const VmDiskAdd& call, Progress& progress) const {
    const VmRecord before = host_.store.vms.load(call.name);
    require_no_restore(before);
    const DataDisk disk = planned(before, call);
    const bool runs = power_.is_running(call.name);
    if (runs) {
        require_place(qemu(call.name), call.name, disk);
    }
    VmRecord vm = before;
    vm.disks.push_back(disk);
    std::ranges::sort(vm.disks, {}, &DataDisk::slot);
    progress.message("making the disk");
    const fs::path file = host_.files(vm).data_disk(disk.name);
    try {
        create_data_disk(loose_file(file), disk.size);
        host_.store.vms.save(vm);
        move_file(loose_file(file), file);
        bring_in(vm, disk, runs);
    } catch (...) {
        take_back(before, disk);
        throw;
    }
    host_.events.add("vm.disk-added", call.name.to_string());
    return {view_.show(call.name), disk};
}

void VmDisks::bring_in(const VmRecord& vm, const DataDisk& disk, bool runs) const {
    power_.refresh_files(vm);
    if (runs) {
        qemu(vm.name).plug(disk, host_.files(vm).data_disk(disk.name));
    }
}

/// What an `add` that threw has done. Nothing has been written to the disk, unless QEMU has it after all,
/// which may do late what it was told: then, or while it does not say, the disk stays.
void VmDisks::take_back(const VmRecord& before, const DataDisk& disk) const {
    const fs::path file = host_.files(before).data_disk(disk.name);
    try {
        const bool is_in_place = fs::exists(fs::symlink_status(file)); // before that, QEMU is not told of it
        if (is_in_place && power_.is_running(before.name) && qemu(before.name).has_part_of(disk.name)) {
            return;
        }
        host_.store.vms.save(before);
        remove_whole(loose_file(file));
        remove_whole(file);
        power_.refresh_files(before);
    } catch (const std::exception&) {
        // QEMU does not answer, and all stays; or the record is saved, and the next start of the VM, or
        // `disk add`, meets what is left.
    }
}

void VmDisks::let_go(const Name& name, const DiskName& disk, const Progress& progress) const {
    const QemuDisks disks = qemu(name);
    const auto end = std::chrono::steady_clock::now() + removal_limit;
    disks.ask_for(disk);
    while (disks.has_device(disk)) {
        if (std::chrono::steady_clock::now() >= end || progress.cancelled()) {
            throw Error(
                ErrorCode::timeout, about(name, "the guest does not let go of the disk; it stays"),
                "unmount it there and try again when its operating system is up, or stop the VM first");
        }
        std::this_thread::sleep_for(disk_removal_interval);
    }
    disks.close(disk);
}

/// After a removal that failed: the disk and the VM's files are what the record says.
void VmDisks::keep_disk(const VmRecord& before, const fs::path& file) const {
    try {
        move_file(loose_file(file), file);
        power_.refresh_files(before);
    } catch (const std::exception&) {
        // The next start of capsuld tries again.
    }
}

DiskChange VmDisks::remove(const VmDiskRemove& call, Progress& progress) const {
    const VmRecord before = host_.store.vms.load(call.name);
    require_no_restore(before);
    VmRecord vm = before;
    const DataDisk disk = disk_called(vm, call.disk);
    const fs::path file = host_.files(vm).data_disk(call.disk);
    if (power_.is_running(call.name)) {
        progress.message("waiting for the guest to let go of it");
        let_go(call.name, call.disk, progress);
    }
    std::erase(vm.disks, disk);
    for (Snapshot& snapshot : vm.snapshots) {
        snapshot.disks.erase(call.disk.to_string());
    }
    power_.refresh_files(vm); // first: after a crash QEMU must not be told of a file that is not there
    if (fs::exists(fs::symlink_status(file))) {
        move_file(file, loose_file(file));
    }
    try {
        host_.store.vms.save(vm);
    } catch (...) {
        keep_disk(before, file);
        throw;
    }
    remove_whole(loose_file(file));
    host_.events.add("vm.disk-removed", call.name.to_string());
    return {view_.show(call.name), disk};
}

void VmDisks::recover() const {
    for (const Stored<VmRecord>& stored : host_.store.vms.list()) {
        if (!stored.record) {
            continue;
        }
        try {
            recover_vm(*stored.record);
        } catch (const std::exception&) {
            // Of a VM whose disks cannot be read: whoever starts or changes it is told.
        }
    }
}

void VmDisks::recover_vm(const VmRecord& vm) const {
    VmRecord found = vm;
    const VmFiles files = host_.files(vm);
    for (const DataDisk& disk : vm.disks) {
        const fs::path file = files.data_disk(disk.name);
        if (!fs::exists(fs::symlink_status(file)) && fs::exists(fs::symlink_status(loose_file(file)))) {
            move_file(loose_file(file), file);
        }
    }
    for (const auto& entry : fs::directory_iterator(files.folder)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(".disk-") && name.ends_with(".qcow2")) {
            remove_whole(entry.path());
        }
    }
    found.disk = size_of_disk(files.disk());
    for (DataDisk& disk : found.disks) {
        disk.size = size_of_disk(files.data_disk(disk.name));
    }
    if (found.disk != vm.disk || found.disks != vm.disks) {
        host_.store.vms.save(found);
    }
}

} // namespace capsul
