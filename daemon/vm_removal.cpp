#include "daemon/vm_removal.hpp"

#include "daemon/unit_file.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

namespace capsul {
namespace {

constexpr std::string_view deleted_prefix = ".deleted-";

bool is_missing(const fs::path& path) {
    std::error_code unknown;
    return fs::symlink_status(path, unknown).type() == fs::file_type::not_found;
}

/// Durable before anything else goes, since a unit without a VM would start at boot.
void remove_units(const VmHost& host, const Name& name) {
    for (const std::string& unit : units_of(name)) {
        host.units().remove(unit);
    }
}

/// A folder in vms/ that is no VM: one whose making or removal was cut short.
void remove_folder(const VmHost& host, const fs::path& folder) {
    std::string text = folder.filename().string();
    if (text.starts_with(deleted_prefix)) {
        text.erase(0, deleted_prefix.size());
    }
    const Name name = Name::parse(text);
    if (!host.store.vms.exists(name)) {
        remove_units(host, name);
    }
    remove_whole(folder);
}

/// Files, links (to a disk that may not be mounted now) and what cannot be looked into are none.
bool is_leftover_folder(const fs::directory_entry& entry) {
    if (entry.path().filename().string().starts_with(deleted_prefix)) {
        return true;
    }
    std::error_code unknown;
    const bool is_folder = entry.symlink_status(unknown).type() == fs::file_type::directory;
    return is_folder && is_missing(entry.path() / "vm.toml");
}

/// Whether it is of a VM that runs, and has lost its record meanwhile, by hand say: QEMU has its disks open.
bool is_in_use(const fs::path& folder, const std::set<Name>& running) {
    return std::ranges::any_of(running,
                               [&](const Name& name) { return folder.filename() == name.to_string(); });
}

/// The VM that one of capsul's units is of.
std::optional<Name> vm_of_any_unit(std::string_view unit) {
    constexpr std::string_view socket = ".socket";
    if (unit.ends_with(socket)) {
        unit.remove_suffix(socket.size());
        return name_in_unit(std::string(unit) + ".service", "capsul-publish-");
    }
    for (const char* const kind : {"capsul-vm-", "capsul-tap-", "capsul-publish-"}) {
        if (const auto name = name_in_unit(unit, kind)) {
            return name;
        }
    }
    return std::nullopt;
}

/// As capsul wrote it, or where there is none, a link to it.
bool is_ours(const VmHost& host, const std::string& unit) {
    const fs::path file = host.units().file(unit);
    return is_missing(file) ? fs::read_symlink(host.units().wants_link(unit)) == file
                            : check_seal(read_file(file)) == SealState::whole;
}

/// What can be read of a folder.
std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
    std::vector<fs::directory_entry> entries;
    std::error_code failure;
    for (fs::directory_iterator entry(folder, failure), end; entry != end; entry.increment(failure)) {
        entries.push_back(*entry);
    }
    return entries;
}

/// Runs `work`, whose failure is its own.
template <class Work>
void try_to(Work work) {
    try {
        work();
    } catch (const std::exception&) {
        // It is not ours, or cannot be removed now: it stays until the next start.
    }
}

/// What a deletion on a disk that does not keep the order of things, or by hand, leaves.
void remove_units_without_folder(const VmHost& host, const std::set<Name>& running) {
    std::set<std::string> units;
    for (const fs::path& folder : {host.paths.units, host.paths.wants()}) {
        for (const auto& entry : entries_of(folder)) {
            const std::string unit = entry.path().filename().string();
            const auto name = vm_of_any_unit(unit);
            if (name && !running.contains(*name) && is_missing(host.paths.vm(*name))) {
                units.insert(unit);
            }
        }
    }
    for (const std::string& unit : units) {
        try_to([&] {
            if (is_ours(host, unit)) {
                host.units().remove(unit);
            }
        });
    }
}

} // namespace

void remove_vm_files(const VmHost& host, const Name& name) {
    const fs::path folder = host.paths.vm(name);
    const fs::path doomed = host.paths.vms() / (std::string(deleted_prefix) + name.to_string());
    const auto vm = host.store.vms.find(name);
    remove_whole(doomed);
    if (::rename(folder.c_str(), doomed.c_str()) == 0) {
        sync_folder(host.paths.vms());
    } else if (errno != ENOENT) {
        throw_errno(errno, folder.string());
    }
    host.store.vms.forget(name);
    remove_folder(host, doomed);
    if (vm && vm->record) {
        const auto networks = host.networks.hold(); // else one that is stopped meanwhile came up again
        host.networks.nics_changed(networks_of(*vm->record));
    }
}

void remove_leftovers(const VmHost& host, const std::set<Name>& running) {
    std::error_code unknown;
    if (!fs::is_directory(host.paths.vms(), unknown)) {
        return; // no VM was ever made, or the disk of all is not mounted
    }
    for (const auto& entry : entries_of(host.paths.vms())) {
        if (is_leftover_folder(entry)) {
            try_to([&] {
                if (!is_in_use(entry.path(), running)) {
                    remove_folder(host, entry.path());
                }
            });
        } else if (entry.symlink_status(unknown).type() == fs::file_type::directory) {
            remove_half_written(entry.path());
        }
    }
    remove_units_without_folder(host, running);
}

} // namespace capsul
