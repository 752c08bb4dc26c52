#include "daemon/vm_snapshots.hpp"

#include "daemon/disk_file.hpp"
#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// "s20261127-191503", with a letter behind it when that second has one already.
Name name_from_time(const VmRecord& vm, Timestamp now) {
    std::string stem = "s";
    for (const char c : now.to_string()) { // 2026-11-27T19:15:03Z
        stem += c == 'T' ? "-" : c >= '0' && c <= '9' ? std::string(1, c) : "";
    }
    const auto is_taken = [&](const Name& name) {
        return std::ranges::find(vm.snapshots, name, &Snapshot::name) != vm.snapshots.end();
    };
    Name name = Name::parse(stem);
    for (char letter = 'b'; is_taken(name) && letter <= 'z'; ++letter) {
        name = Name::parse(stem + letter);
    }
    return name;
}

Snapshot snapshot_called(const VmRecord& vm, const Name& name) {
    const auto found = std::ranges::find(vm.snapshots, name, &Snapshot::name);
    if (found == vm.snapshots.end()) {
        throw Error(ErrorCode::not_found, about(vm.name, "has no snapshot " + name.to_string()),
                    "`capsulctl vm snapshot list " + vm.name.to_string() + "` shows those it has");
    }
    return *found;
}

Snapshot& entry_of(VmRecord& vm, const Name& snapshot) {
    return *std::ranges::find(vm.snapshots, snapshot, &Snapshot::name);
}

std::vector<DiskName> newer_disks(const VmRecord& vm, const Snapshot& snapshot) {
    std::vector<DiskName> newer;
    for (const DataDisk& disk : vm.disks) {
        if (!snapshot.disks.contains(disk.name.to_string())) {
            newer.push_back(disk.name);
        }
    }
    return newer;
}

} // namespace

/// The snapshot that is to be; one of that name that was never finished is out of the way then.
Snapshot VmSnapshots::planned(VmRecord& vm, const VmSnapshotCreate& call) const {
    Snapshot snapshot;
    snapshot.created = Timestamp::now();
    snapshot.name = call.snapshot.value_or(name_from_time(vm, snapshot.created));
    snapshot.finished = false;
    const auto same = std::ranges::find(vm.snapshots, snapshot.name, &Snapshot::name);
    if (same != vm.snapshots.end() && same->finished) {
        throw Error(ErrorCode::exists,
                    about(vm.name, fmt::format("has a snapshot {} already", snapshot.name.to_string())),
                    "choose another name, or delete that one");
    }
    if (same != vm.snapshots.end()) {
        erase(vm, snapshot.name);
    }
    if (vm.snapshots.size() >= most_snapshots) {
        throw Error(ErrorCode::invalid,
                    about(vm.name, fmt::format("has {} snapshots, the most there can be", most_snapshots)),
                    "delete one with `capsulctl vm snapshot delete`");
    }
    snapshot.disks[std::string(root_disk)] = vm.disk;
    for (const DataDisk& disk : vm.disks) {
        snapshot.disks[disk.name.to_string()] = disk.size;
    }
    return snapshot;
}

/// It is in the record before anything is done, as unfinished: so a crash leaves nothing that nobody knows
/// of.
Snapshot VmSnapshots::create(const VmSnapshotCreate& call, Progress& progress) {
    VmRecord vm = host_.store.vms.load(call.name);
    require_no_restore(vm);
    static_cast<void>(power_.is_running(call.name)); // nor on its way up or down
    Snapshot snapshot = planned(vm, call);
    vm.snapshots.push_back(snapshot);
    host_.store.vms.save(vm);
    try {
        make(vm, snapshot, progress);
        snapshot.finished = true;
        entry_of(vm, snapshot.name) = snapshot;
        host_.store.vms.save(vm);
    } catch (...) {
        try {
            entry_of(vm, snapshot.name).finished = false;
            if (guest_.thaw(call.name, 0s)) { // else it is what the next start of capsuld knows the guest by
                erase(vm, snapshot.name);
            }
        } catch (const std::exception&) {
            // It stays in the list as unfinished, until it is deleted or capsuld starts anew.
        }
        throw;
    }
    host_.events.add("vm.snapshot-created", call.name.to_string(), {{"snapshot", snapshot.name.to_string()}});
    return snapshot;
}

void VmSnapshots::make(const VmRecord& vm, Snapshot& snapshot, Progress& progress) {
    if (power_.is_running(vm.name)) {
        snapshot.frozen = make_running(vm, snapshot, progress);
        return;
    }
    progress.message("making the snapshot");
    for (const GuestDisk& disk : disks_of(host_, vm, snapshot)) {
        make_snapshot(disk, snapshot.name.to_string());
    }
    snapshot.frozen = true; // nobody writes
}

/// Whether the guest's file systems were at rest. They go on whatever happens.
bool VmSnapshots::make_running(const VmRecord& vm, const Snapshot& snapshot, Progress& progress) {
    const QemuDisks qemu(host_.monitors.connection(vm.name, 5s));
    progress.message("asking the guest to hold still");
    const Frozen frozen = host_.monitors.paused(vm.name) ? Frozen::no : guest_.freeze(vm.name, progress);
    try {
        progress.message("making the snapshot");
        qemu.make_snapshot(disks_of(host_, vm, snapshot), snapshot.name.to_string());
    } catch (...) {
        if (frozen != Frozen::no) {
            guest_.thaw(vm.name);
        }
        throw;
    }
    if (frozen != Frozen::no && !guest_.thaw(vm.name)) {
        throw stands_still(vm.name, "no snapshot was made");
    }
    return frozen == Frozen::yes;
}

Snapshot VmSnapshots::remove(const VmSnapshotDelete& call, Progress& progress) {
    VmRecord vm = host_.store.vms.load(call.name);
    require_no_restore(vm);
    const Snapshot snapshot = snapshot_called(vm, call.snapshot);
    progress.message("deleting the snapshot");
    entry_of(vm, call.snapshot).finished = false; // from here on it can only go
    host_.store.vms.save(vm);
    erase(vm, call.snapshot);
    host_.events.add("vm.snapshot-deleted", call.name.to_string(), {{"snapshot", call.snapshot.to_string()}});
    return snapshot;
}

/// From the disks, then from the record.
void VmSnapshots::erase(VmRecord& vm, const Name& snapshot) const {
    erase_from_disks(vm, snapshot_called(vm, snapshot));
    std::erase_if(vm.snapshots, [&](const Snapshot& known) { return known.name == snapshot; });
    host_.store.vms.save(vm);
}

void VmSnapshots::erase_from_disks(const VmRecord& vm, const Snapshot& snapshot) const {
    const std::string name = snapshot.name.to_string();
    if (power_.is_running(vm.name)) {
        const QemuDisks qemu(host_.monitors.connection(vm.name, 5s));
        for (const GuestDisk& disk : disks_of(host_, vm, snapshot)) {
            qemu.delete_snapshot(disk, name);
        }
        return;
    }
    for (const GuestDisk& disk : disks_of(host_, vm, snapshot)) {
        delete_snapshot(disk, name);
    }
}

Restored VmSnapshots::restore(const VmSnapshotRestore& call, Progress& progress) {
    VmRecord vm = host_.store.vms.load(call.name);
    const Snapshot snapshot = snapshot_called(vm, call.snapshot);
    if (!snapshot.finished) {
        throw Error(
            ErrorCode::wrong_state,
            about(call.name, fmt::format("snapshot {} was never finished", call.snapshot.to_string())),
            "delete it: it holds nothing");
    }
    if (power_.is_running(call.name)) {
        throw Error(ErrorCode::wrong_state, about(call.name, "is running: its disks cannot be restored"),
                    "stop it first: `capsulctl stop " + call.name.to_string() + "`");
    }
    if (vm.restoring) { // an earlier one could be neither finished nor undone
        restore_.settle(vm);
        vm = host_.store.vms.load(call.name);
    }
    restore_.run(vm, snapshot, progress);
    host_.events.add("vm.restored", call.name.to_string(), {{"snapshot", call.snapshot.to_string()}});
    return {snapshot, newer_disks(vm, snapshot)};
}

void VmSnapshots::recover() {
    for (const Stored<VmRecord>& stored : host_.store.vms.list()) {
        const bool is_half_done =
            stored.record && (stored.record->restoring ||
                              std::ranges::find(stored.record->snapshots, false, &Snapshot::finished) !=
                                  stored.record->snapshots.end());
        if (is_half_done) {
            submit_action(host_, "vm.snapshot-undo", stored.name,
                          [this, name = stored.name](Progress&) { return finish_left(name); });
        }
    }
}

Json VmSnapshots::finish_left(const Name& name) {
    VmRecord vm = host_.store.vms.load(name);
    if (power_.is_running(name)) {
        if (!guest_.thaw(name, 5s)) {
            throw stands_still(
                name, "no snapshot was made"); // the snapshot stays unfinished: the next start tries again
        }
    } else if (vm.restoring) {
        restore_.settle(vm);
        vm = host_.store.vms.load(name);
    }
    const std::vector<Snapshot> present = vm.snapshots;
    for (const Snapshot& snapshot : present) {
        if (!snapshot.finished) {
            erase(vm, snapshot.name);
        }
    }
    return Json::object();
}

} // namespace capsul
