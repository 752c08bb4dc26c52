#include "cli/disk_view.hpp"

#include <array>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

std::string used_text(const DiskView& disk) {
    return disk.used ? human_size(*disk.used) : "";
}

std::string used_bytes(const DiskView& disk) {
    return disk.used ? std::to_string(*disk.used) : "";
}

constexpr std::array<Column<DiskView>, 5> disk_table{{
    {"name", [](const DiskView& disk) { return disk.name; }},
    {"size", [](const DiskView& disk) { return disk.size.to_string(); }, Shown::always, true, nullptr,
     [](const DiskView& disk) { return std::to_string(disk.size.count()); }},
    {"used", used_text, Shown::always, true, nullptr, used_bytes},
    {"in-guest", [](const DiskView& disk) { return disk.guest_path.value_or(""); }},
    {"created", [](const DiskView& disk) { return optional_text(disk.created); }, Shown::wide},
}};

/// "before-upgrade, 2026-11-27T19:15:03Z"
std::string snapshot_text(const Snapshot& snapshot) {
    return fmt::format("{}, {}{}", snapshot.name.to_string(), snapshot.created.to_string(),
                       snapshot.finished ? "" : ", unfinished");
}

} // namespace

DiskView view_of(const DataDisk& disk) {
    return {disk.name.to_string(),
            disk.size,
            {},
            disk.created,
            "/dev/disk/by-id/virtio-" + disk.name.to_string()};
}

std::vector<DiskView> disk_views(const Vm& vm) {
    std::vector<DiskView> views;
    if (!vm.spec) {
        return views;
    }
    views.push_back({std::string(root_disk), vm.spec->disk, {}, vm.spec->created, {}});
    for (const DataDisk& disk : vm.spec->disks) {
        views.push_back(view_of(disk));
    }
    for (DiskView& view : views) {
        if (const auto found = vm.disk_usage.find(view.name); found != vm.disk_usage.end()) {
            view.used = found->second;
        }
    }
    return views;
}

std::span<const Column<DiskView>> disk_columns() {
    return disk_table;
}

std::vector<Line> disk_lines(const Vm& vm) {
    std::vector<Line> lines;
    for (const DiskView& disk : disk_views(vm)) {
        if (disk.name != root_disk) {
            lines.push_back(
                {"Disk " + disk.name, fmt::format("{}, {}", disk.size.to_string(), *disk.guest_path)});
        }
    }
    for (const Snapshot& snapshot : vm.spec ? vm.spec->snapshots : std::vector<Snapshot>()) {
        lines.push_back({"Snapshot", snapshot_text(snapshot)});
    }
    return lines;
}

const VmRecord& spec_of(const Vm& vm) {
    if (!vm.spec) {
        throw Error(ErrorCode::wrong_state, "is broken: " + vm.reason.value_or("its record cannot be used"));
    }
    return *vm.spec;
}

} // namespace capsul::cli
