// The data disks of a VM: vm disk add, list, rm.
#include "cli/commands.hpp"
#include "cli/disk_view.hpp"
#include "cli/targets.hpp"
#include "lib/vm_disks.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct DiskFlags {
    std::string vm;
    std::string size;
    std::string disk;
    bool yes = false;
};

void list(Session& session, const DiskFlags& flags) {
    const Name name = Name::parse(flags.vm);
    about("vm " + flags.vm, [&] {
        const Vm vm = session.client().call(VmShow{name});
        static_cast<void>(spec_of(vm));
        print_list<DiskView>(session.out(), session.output_options(), disk_views(vm), disk_columns());
    });
}

void add(Session& session, const DiskFlags& flags) {
    VmDiskAdd call;
    call.name = Name::parse(flags.vm);
    call.size = parse_option<Bytes>("SIZE", flags.size);
    call.disk = parse_given<DiskName>("--name", flags.disk);
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        const DiskChange result = session.run(call, subject);
        const DiskView disk = view_of(result.disk);
        const bool is_up = result.vm.state == VmState::running || result.vm.state == VmState::paused;
        session.note(fmt::format("{}: disk {} {}; the guest finds it as {}", subject, disk.name,
                                 is_up ? "plugged in" : "added", *disk.guest_path));
        print_made<DiskView>(session.out(), session.output_options(), disk, disk_columns());
    });
}

/// The disk that is to go, as it is.
DiskView doomed_disk(const Vm& vm, const DiskName& name) {
    for (const DiskView& disk : disk_views(vm)) {
        if (disk.name == name.to_string()) {
            return disk;
        }
    }
    static_cast<void>(spec_of(vm));
    throw Error(ErrorCode::not_found, "has no data disk " + name.to_string(),
                "`capsulctl vm disk list " + vm.name.to_string() + "` shows those it has");
}

void confirm_removal(const DiskView& disk, const Vm& vm) {
    const bool is_in_snapshots = std::ranges::any_of(
        vm.spec->snapshots, [&](const Snapshot& snapshot) { return snapshot.disks.contains(disk.name); });
    if (!confirm("vm disk rm", fmt::format("Delete disk {} of {} ({}) with all that is on it{}, for good?",
                                           disk.name, vm.name.to_string(), disk.size.to_string(),
                                           is_in_snapshots ? ", also in snapshots" : ""))) {
        throw Error(ErrorCode::invalid, "not deleted: the answer was not y", "--yes goes on unasked");
    }
}

void remove(Session& session, const DiskFlags& flags) {
    const VmDiskRemove call{Name::parse(flags.vm), parse_option<DiskName>("DISK", flags.disk)};
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        const Vm vm = session.client().call(VmShow{call.name});
        const DiskView disk = doomed_disk(vm, call.disk);
        if (!flags.yes) {
            confirm_removal(disk, vm);
        }
        session.run(call, subject);
        session.note(fmt::format("{}: disk {} deleted", subject, disk.name));
        print_results<DiskView>(session, {disk}, true, disk_columns());
    });
}

/// The VM that a command is about.
std::shared_ptr<DiskFlags> add_vm(CLI::App& command) {
    auto flags = std::make_shared<DiskFlags>();
    command.add_option("VM", flags->vm, "The VM")->required()->type_name("VM");
    return flags;
}

void add_list(CLI::App& group, Session& session) {
    CLI::App& command = add_command(group, "list", "List the disks of a VM, and what they take on this host",
                                    "capsulctl vm disk list web\n"
                                    "capsulctl vm disk list web --json | jq -r '.[].guest_path'");
    auto flags = add_vm(command);
    prints_table<DiskView>(session, command, disk_columns());
    command.callback([&session, flags] { list(session, *flags); });
}

void add_add(CLI::App& group, Session& session) {
    CLI::App& command = add_command(group, "add", "Add an empty disk to a VM; a running one gets it at once",
                                    "capsulctl vm disk add web 50G\n"
                                    "capsulctl vm disk add db 200G --name pgdata\n"
                                    "capsulctl exec db -- mkfs.ext4 /dev/disk/by-id/virtio-pgdata");
    auto flags = add_vm(command);
    command.add_option("SIZE", flags->size, "Its size, such as 50G")->required()->type_name("SIZE");
    add_text(command, "--name", flags->disk, "NAME", "What it is called, in the guest too (default: data)");
    prints_table<DiskView>(session, command, disk_columns());
    command.callback([&session, flags] { add(session, *flags); });
}

void add_remove(CLI::App& group, Session& session) {
    CLI::App& command =
        add_command(group, "rm", "Take a data disk away from a VM, from a running one too, and delete it",
                    "capsulctl vm disk rm web data          # asks, on a terminal\n"
                    "capsulctl vm disk rm web data --yes");
    command.alias("delete");
    auto flags = add_vm(command);
    command.add_option("DISK", flags->disk, "The disk")->required()->type_name(disk_type);
    command.add_flag("-y,--yes", flags->yes, "Do not ask");
    prints_table<DiskView>(session, command, disk_columns(), true);
    command.callback([&session, flags] { remove(session, *flags); });
}

} // namespace

void add_vm_disk(CLI::App& parent, Session& session) {
    CLI::App& disk = add_command(parent, "disk", "Work with the data disks of a VM, also while it runs",
                                 "capsulctl vm disk list web\n"
                                 "capsulctl vm disk add web 50G --name data\n"
                                 "capsulctl vm disk rm web data");
    add_list(disk, session);
    add_add(disk, session);
    add_remove(disk, session);
}

} // namespace capsul::cli
