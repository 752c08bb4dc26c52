#include "daemon/qemu_disks.hpp"

#include "lib/fd.hpp"

#include <algorithm>
#include <fcntl.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// QEMU writes tables meanwhile, and the guest's disk stands still.
constexpr auto disk_limit = 2min;

std::string device_id(const DiskName& disk) {
    return disk_id(disk) + "-device";
}

bool has_name(const Json& objects, const char* key, const std::string& name) {
    return objects.is_array() && std::ranges::any_of(objects, [&](const Json& object) {
               return object.is_object() && object.value(key, Json()) == Json(name);
           });
}

/// Whether this is the entry of query-block about the disk: a drive's has its name, a block node's has not.
bool is_about(const Json& entry, const std::string& id) {
    static const Json::json_pointer node("/inserted/node-name");
    return entry.value("device", Json()) == Json(id) || (entry.contains(node) && entry.at(node) == Json(id));
}

/// What QEMU's words mean where that is the host's state, not a mistake of ours.
template <class Work>
void explained(const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        if (std::string_view(error.what()).find("No space left") == std::string_view::npos) {
            throw;
        }
        throw Error(ErrorCode::no_space, error.what(),
                    "free some space on the disk where capsul keeps its VMs");
    }
}

/// For what is tidied up after a failure, which is the one to be told.
template <class Work>
void quietly(const Work& work) {
    try {
        work();
    } catch (const std::exception&) {
        // What is left is found by whoever looks at QEMU's nodes.
    }
}

} // namespace

void QemuDisks::grow(const GuestDisk& disk, Bytes size) const {
    explained([&] {
        monitor_->execute("block_resize", {{"device", disk.id}, {"size", size.count()}}, disk_limit);
    });
}

void QemuDisks::make_snapshot(const std::vector<GuestDisk>& disks, const std::string& name) const {
    Json actions = Json::array();
    for (const GuestDisk& disk : disks) {
        actions.push_back(
            {{"type", "blockdev-snapshot-internal-sync"}, {"data", {{"device", disk.id}, {"name", name}}}});
    }
    explained([&] { monitor_->execute("transaction", {{"actions", actions}}, disk_limit); });
}

void QemuDisks::delete_snapshot(const GuestDisk& disk, const std::string& name) const {
    static const Json::json_pointer place("/inserted/image/snapshots");
    const Json blocks = monitor_->execute("query-block");
    const bool is_there = blocks.is_array() && std::ranges::any_of(blocks, [&](const Json& entry) {
                              return entry.is_object() && is_about(entry, disk.id) && entry.contains(place) &&
                                     has_name(entry.at(place), "name", name);
                          });
    if (is_there) {
        monitor_->execute("blockdev-snapshot-delete-internal-sync", {{"device", disk.id}, {"name", name}},
                          disk_limit);
    }
}

bool QemuDisks::has_object(const std::string& name) const {
    return has_name(monitor_->execute("qom-list", {{"path", "/machine/peripheral"}}), "name", name);
}

bool QemuDisks::has_port(const DataDisk& disk) const {
    return has_object(disk_port(disk));
}

bool QemuDisks::has_device(const DiskName& disk) const {
    return has_object(device_id(disk));
}

bool QemuDisks::has_node(const DiskName& disk) const {
    return has_name(monitor_->execute("query-named-block-nodes", {{"flat", true}}), "node-name",
                    disk_id(disk));
}

bool QemuDisks::has_part_of(const DiskName& disk) const {
    return has_device(disk) || has_node(disk);
}

/// As in qemu.conf. The set of descriptors is needed only until the node has one of its own.
void QemuDisks::add_node(const DataDisk& disk, const fs::path& file) const {
    const UniqueFd opened = open_file(file, O_RDWR | O_NOFOLLOW);
    const std::string given = monitor_->give_file(opened.get());
    Json node{{"node-name", disk_id(disk.name)},
              {"driver", "qcow2"},
              {"backing", nullptr},
              {"discard", "unmap"},
              {"detect-zeroes", "unmap"}};
    node["file"] = {{"driver", "file"}, {"filename", given}, {"locking", "on"}, {"aio", "threads"}};
    try {
        monitor_->execute("blockdev-add", node, disk_limit);
    } catch (...) {
        quietly([&] { monitor_->take_file(given); });
        throw;
    }
    monitor_->take_file(given);
}

void QemuDisks::plug(const DataDisk& disk, const fs::path& file) const {
    Json device{{"id", device_id(disk.name)}};
    for (const auto& [key, value] : disk_device_options(disk)) {
        device[key] = value;
    }
    try {
        add_node(disk, file);
        monitor_->execute("device_add", device, disk_limit);
    } catch (...) {
        quietly([&] { close(disk.name); });
        throw;
    }
}

void QemuDisks::ask_for(const DiskName& disk) const {
    try {
        monitor_->execute("device_del", {{"id", device_id(disk)}});
    } catch (const Error& error) {
        const bool is_asked =
            std::string_view(error.what()).find("process of unplug") != std::string_view::npos;
        if (error.code() != ErrorCode::not_found && !is_asked) {
            throw;
        }
    }
}

/// A drive, which QEMU was started with, goes with its device; a block node stays.
void QemuDisks::close(const DiskName& disk) const {
    if (has_node(disk)) {
        monitor_->execute("blockdev-del", {{"node-name", disk_id(disk)}});
    }
}

} // namespace capsul
