#include "daemon/backup_manifest.hpp"

#include "daemon/image_format.hpp"
#include "daemon/qemu_config.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <set>

namespace capsul {
namespace {

constexpr std::size_t longest_seed_file = std::size_t{256} << 10U;
/// Four of the largest disks that a qcow2 file can be of are fewer bytes than this.
constexpr std::uint64_t largest_member = std::uint64_t{1} << 58U;
constexpr std::array<std::string_view, 4> seed_file_names{"meta-data", "user-data", "network-config",
                                                          "vendor-data"};

[[noreturn]] void refuse(const std::string& why) {
    throw Error(ErrorCode::invalid, "the backup's manifest: " + why,
                "capsul writes no such archive: take another one");
}

Json parsed(std::string_view text) {
    try {
        return parse_json(text);
    } catch (const Error& error) {
        refuse(error.what());
    }
}

/// Throws unless each of `slots` is one of `most`, and stands once.
void check_slots(const char* what, const std::vector<int>& slots, int most) {
    std::set<int> seen;
    for (const int slot : slots) {
        if (slot < 0 || slot >= most || !seen.insert(slot).second) {
            refuse(fmt::format("vm.{}: slot {} is not possible", what, slot));
        }
    }
}

void check_nics(const VmRecord& vm) {
    std::vector<int> slots;
    std::set<Mac> macs;
    int on_user = 0;
    for (const Nic& nic : vm.nics) {
        slots.push_back(nic.slot);
        on_user += is_user_network(nic.network) ? 1 : 0;
        if (!macs.insert(nic.mac).second) {
            refuse(fmt::format("vm.nics: {} stands twice", nic.mac.to_string()));
        }
    }
    check_slots("nics", slots, most_nics);
    if (on_user > 1) {
        refuse("vm.nics: more than one is on user");
    }
}

void check_disks(const VmRecord& vm) {
    std::vector<int> slots;
    std::set<DiskName> names;
    for (const DataDisk& disk : vm.disks) {
        slots.push_back(disk.slot);
        if (!names.insert(disk.name).second) {
            refuse(fmt::format("vm.disks: {} stands twice", disk.name.to_string()));
        }
    }
    check_slots("disks", slots, most_disks);
    if (!std::ranges::is_sorted(slots)) {
        refuse("vm.disks: they are not in the order of their slots");
    }
}

void check_record(const VmRecord& vm) {
    if (vm.format != 1) {
        refuse(fmt::format("vm.format: {} is of a newer capsul", vm.format));
    }
    check_nics(vm);
    check_disks(vm);
    for (const auto& [key, value] : vm.labels) {
        check_label(key, value);
    }
    if (vm.boot) {
        check_kernel_cmdline(vm.boot->cmdline);
    }
    if (!vm.snapshots.empty() || vm.restoring || vm.restored || vm.memory_before) {
        refuse("vm: there is something in it that a backup does not hold");
    }
}

void check_seed(const std::map<std::string, std::string>& seed) {
    for (const auto& [name, content] : seed) {
        if (std::ranges::find(seed_file_names, name) == seed_file_names.end() ||
            content.size() > longest_seed_file) {
            refuse("seed: there is something in it that capsul does not write");
        }
    }
    if (!seed.contains("meta-data") || !seed.contains("user-data")) {
        refuse("seed: it lacks meta-data or user-data");
    }
    if (!parsed(seed.at("meta-data")).is_object()) {
        refuse("seed: its meta-data are no object");
    }
}

std::vector<std::string> names_of(const std::vector<BackupMember>& members) {
    std::vector<std::string> names;
    for (const BackupMember& member : members) {
        names.push_back(member.name);
    }
    return names;
}

/// What the record says of a member.
std::optional<Digest> boot_digest(const VmRecord& vm, const std::string& member) {
    if (member == backup_kernel_file) {
        return vm.boot->kernel;
    }
    return member == backup_initrd_file ? vm.boot->initrd : std::nullopt;
}

void check_members(const BackupManifest& manifest) {
    std::vector<std::string> wanted = backup_disk_files(manifest.vm);
    const std::vector<std::string> names = names_of(manifest.members);
    if (names != wanted) {
        std::ranges::copy(backup_image_files(manifest.vm), std::back_inserter(wanted));
    }
    if (names != wanted) {
        refuse("members: they are not the files that its VM needs");
    }
    for (const BackupMember& member : manifest.members) {
        if (member.size == 0 || member.size > largest_member) {
            refuse(fmt::format("members: {} cannot have {} bytes", member.name, member.size));
        }
        if (const auto boot = boot_digest(manifest.vm, member.name); boot && *boot != member.digest) {
            refuse(fmt::format("members: {} is not what its VM boots", member.name));
        }
    }
}

/// A newer one may have anything in it.
void check_format(const Json& json) {
    const auto format = json.is_object() ? json.find("format") : json.end();
    if (format != json.end() && format->is_number_integer() && *format != Json(1)) {
        throw Error(ErrorCode::invalid,
                    fmt::format("the backup has format {}; this capsul knows format 1", format->dump()),
                    "restore it with the capsul that made it, or a newer one");
    }
}

BackupManifest decoded(std::string_view text) {
    const Json json = parsed(text);
    check_format(json);
    try {
        return decode<BackupManifest>(json);
    } catch (const Error& error) {
        refuse(error.what());
    }
}

} // namespace

std::vector<std::string> backup_disk_files(const VmRecord& vm) {
    std::vector<std::string> names;
    for (const GuestDisk& disk : guest_disks(vm, VmFiles{})) {
        names.push_back(disk.file.filename().string());
    }
    return names;
}

std::vector<std::string> backup_image_files(const VmRecord& vm) {
    std::vector<std::string> names{backup_image_file};
    if (vm.boot) {
        names.emplace_back(backup_kernel_file);
    }
    if (vm.boot && vm.boot->initrd) {
        names.emplace_back(backup_initrd_file);
    }
    return names;
}

bool has_image(const BackupManifest& manifest) {
    return std::ranges::find(manifest.members, backup_image_file, &BackupMember::name) !=
           manifest.members.end();
}

std::string backup_manifest_text(const BackupManifest& manifest) {
    return dump_json(encode(manifest), 2) + "\n";
}

BackupManifest parse_backup_manifest(std::string_view text) {
    const BackupManifest manifest = decoded(text);
    check_record(manifest.vm);
    check_seed(manifest.seed);
    check_members(manifest);
    return manifest;
}

} // namespace capsul
