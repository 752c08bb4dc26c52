#include "daemon/qemu_backup.hpp"

#include "lib/fd.hpp"

#include <algorithm>
#include <fcntl.h>
#include <string_view>
#include <thread>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// What the guest's disks have on their way is written first.
constexpr auto work_limit = 2min;
constexpr auto look_again = 50ms;

/// Of jobs and nodes; a node's name has 31 characters at most (QEMU block.c).
constexpr std::string_view prefix = "copy-";

std::string copy_id(const GuestDisk& disk) {
    return std::string(prefix) + disk.id;
}

std::string text_at(const Json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t number_at(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

[[noreturn]] void throw_failure(const std::string& why) {
    if (why.find("No space left") != std::string::npos) {
        throw Error(ErrorCode::no_space, "QEMU cannot copy the disk: no space left",
                    "free some space on the disk where capsul keeps its data");
    }
    throw Error(ErrorCode::internal, "QEMU cannot copy the disk: " + why);
}

} // namespace

/// The set of descriptors is needed only until the node has one of its own.
void QemuBackup::add_target(const GuestDisk& disk, const fs::path& file) const {
    const UniqueFd opened = open_file(file, O_RDWR | O_NOFOLLOW);
    const std::string given = monitor_->give_file(opened.get());
    Json node{{"node-name", copy_id(disk)}, {"driver", "qcow2"}, {"backing", nullptr}, {"discard", "unmap"}};
    node["file"] = {{"driver", "file"}, {"filename", given}, {"locking", "on"}, {"aio", "threads"}};
    try {
        monitor_->execute("blockdev-add", node, work_limit);
    } catch (...) {
        monitor_->take_file(given);
        throw;
    }
    monitor_->take_file(given);
}

/// Grouped: when one fails or is cancelled, all are.
void QemuBackup::begin(const std::vector<GuestDisk>& disks) const {
    Json actions = Json::array();
    for (const GuestDisk& disk : disks) {
        const Json job{{"job-id", copy_id(disk)},    {"device", disk.id},
                       {"target", copy_id(disk)},    {"sync", disk.name == root_disk ? "top" : "full"},
                       {"auto-dismiss", false},      {"on-source-error", "report"},
                       {"on-target-error", "report"}};
        actions.push_back({{"type", "blockdev-backup"}, {"data", job}});
    }
    monitor_->execute("transaction", {{"actions", actions}, {"properties", {{"completion-mode", "grouped"}}}},
                      work_limit);
}

std::vector<Json> QemuBackup::jobs() const {
    std::vector<Json> ours;
    for (const Json& job : monitor_->execute("query-jobs")) {
        if (text_at(job, "id").starts_with(prefix)) {
            ours.push_back(job);
        }
    }
    return ours;
}

QemuBackup::Standing QemuBackup::standing(const std::vector<GuestDisk>& disks) const {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
    bool is_finished = true;
    const std::vector<Json> present = jobs();
    if (present.size() != disks.size()) {
        throw_failure("somebody has taken its job away");
    }
    for (const Json& job : present) {
        if (const std::string why = text_at(job, "error"); !why.empty()) {
            throw_failure(why);
        }
        done += number_at(job, "current-progress");
        total += number_at(job, "total-progress");
        is_finished = is_finished && text_at(job, "status") == "concluded";
    }
    return {total == 0 ? 0 : static_cast<int>(done * 100 / total), is_finished};
}

void QemuBackup::end() const {
    const auto deadline = std::chrono::steady_clock::now() + work_limit;
    for (std::vector<Json> left = jobs(); !left.empty(); left = jobs()) {
        for (const Json& job : left) {
            const bool has_ended = text_at(job, "status") == "concluded";
            try {
                monitor_->execute(has_ended ? "job-dismiss" : "job-cancel", {{"id", text_at(job, "id")}});
            } catch (const Error& error) {
                const bool is_ending = // since it was asked about
                    error.code() == ErrorCode::internal || error.code() == ErrorCode::not_found;
                if (!is_ending) {
                    throw;
                }
            }
        }
        if (std::chrono::steady_clock::now() > deadline) {
            throw Error(ErrorCode::timeout, "QEMU does not end its copies of the disks");
        }
        std::this_thread::sleep_for(look_again);
    }
    for (const Json& node : monitor_->execute("query-named-block-nodes", {{"flat", true}})) {
        if (const std::string name = text_at(node, "node-name"); name.starts_with(prefix)) {
            monitor_->execute("blockdev-del", {{"node-name", name}}, work_limit);
        }
    }
}

} // namespace capsul
