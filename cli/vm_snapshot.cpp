// The snapshots of a VM: vm snapshot create, list, restore, delete.
#include "cli/commands.hpp"
#include "cli/disk_view.hpp"
#include "cli/targets.hpp"
#include "lib/vm_disks.hpp"

#include <array>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct SnapshotFlags {
    std::string vm;
    std::string snapshot;
    bool yes = false;
};

/// "root=20G,data=5G"
std::string sizes_text(const Snapshot& snapshot) {
    return joined(snapshot.disks,
                  [](const auto& disk) { return fmt::format("{}={}", disk.first, disk.second.to_string()); });
}

constexpr std::array<Column<Snapshot>, 5> snapshot_table{{
    {"name", [](const Snapshot& snapshot) { return snapshot.name.to_string(); }},
    {"created", [](const Snapshot& snapshot) { return snapshot.created.to_string(); }},
    {"disks", sizes_text},
    {"consistent", [](const Snapshot& snapshot) { return std::string(snapshot.frozen ? "yes" : "crash"); }},
    {"state", [](const Snapshot& snapshot) { return std::string(snapshot.finished ? "" : "unfinished"); },
     Shown::filled, false, [](const Snapshot&) { return Style::bad; }},
}};

void list(Session& session, const SnapshotFlags& flags) {
    const Name name = Name::parse(flags.vm);
    about("vm " + flags.vm, [&] {
        const Vm vm = session.client().call(VmShow{name});
        const std::vector<Snapshot>& snapshots = spec_of(vm).snapshots;
        print_list<Snapshot>(session.out(), session.output_options(), snapshots, snapshot_table);
        if (snapshots.empty() && !session.wants_data()) {
            session.note(fmt::format("vm {}: has no snapshot", flags.vm));
        }
    });
}

void create(Session& session, const SnapshotFlags& flags) {
    const VmSnapshotCreate call{Name::parse(flags.vm), parse_given<Name>("SNAPSHOT", flags.snapshot)};
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        const Snapshot made = session.run(call, subject);
        session.note(
            fmt::format("{}: snapshot {} made{}", subject, made.name.to_string(),
                        made.frozen ? ""
                                    : "; crash-consistent: the guest's file systems were not put to rest, as "
                                      "qemu-guest-agent does when it runs in it"));
        print_made<Snapshot>(session.out(), session.output_options(), made, snapshot_table);
    });
}

void ask_about(const SnapshotFlags& flags, const char* command, const std::string& question,
               const char* refusal) {
    if (!flags.yes && !confirm(command, question)) {
        throw Error(ErrorCode::invalid, fmt::format("{}: the answer was not y", refusal),
                    "--yes goes on unasked");
    }
}

void restore(Session& session, const SnapshotFlags& flags) {
    const VmSnapshotRestore call{Name::parse(flags.vm), parse_option<Name>("SNAPSHOT", flags.snapshot)};
    const std::string subject = "vm " + flags.vm;
    ask_about(
        flags, "vm snapshot restore",
        fmt::format("Restore the disks of {} to {}, and lose what they hold now?", flags.vm, flags.snapshot),
        "not restored");
    about(subject, [&] {
        const Restored result = session.run(call, subject);
        const std::string newer =
            joined(result.untouched, [](const DiskName& disk) { return disk.to_string(); });
        session.note(fmt::format("{}: restored to {}{}", subject, flags.snapshot,
                                 newer.empty() ? "" : "; newer, and as before: " + newer));
        print_results<Snapshot>(session, {result.snapshot}, true, snapshot_table);
    });
}

void remove(Session& session, const SnapshotFlags& flags) {
    const VmSnapshotDelete call{Name::parse(flags.vm), parse_option<Name>("SNAPSHOT", flags.snapshot)};
    const std::string subject = "vm " + flags.vm;
    ask_about(flags, "vm snapshot delete",
              fmt::format("Delete the snapshot {} of {}, for good?", flags.snapshot, flags.vm),
              "not deleted");
    about(subject, [&] {
        const Snapshot gone = session.run(call, subject);
        session.note(fmt::format("{}: snapshot {} deleted", subject, flags.snapshot));
        print_results<Snapshot>(session, {gone}, true, snapshot_table);
    });
}

/// The VM that a command is about.
std::shared_ptr<SnapshotFlags> add_snapshot_vm(CLI::App& command) {
    auto flags = std::make_shared<SnapshotFlags>();
    command.add_option("VM", flags->vm, "The VM")->required()->type_name("VM");
    return flags;
}

void add_snapshot(CLI::App& command, SnapshotFlags& flags) {
    command.add_option("SNAPSHOT", flags.snapshot, "The snapshot")->required()->type_name(snapshot_type);
    command.add_flag("-y,--yes", flags.yes, "Do not ask");
}

void add_snapshot_list(CLI::App& group, Session& session) {
    CLI::App& command = add_command(group, "list", "List the snapshots of a VM, oldest first",
                                    "capsulctl vm snapshot list web\n"
                                    "capsulctl vm snapshot list web -q | head -n 1    # the oldest");
    auto flags = add_snapshot_vm(command);
    prints_table<Snapshot>(session, command, snapshot_table);
    command.callback([&session, flags] { list(session, *flags); });
}

void add_create(CLI::App& group, Session& session) {
    CLI::App& command =
        add_command(group, "create", "Keep what all disks of a VM hold now; it may run meanwhile",
                    "capsulctl vm snapshot create web before-upgrade\n"
                    "name=$(capsulctl vm snapshot create web -q)    # a name is made up, and printed");
    auto flags = add_snapshot_vm(command);
    command.add_option("SNAPSHOT", flags->snapshot, "Its name (default: from the time)")->type_name("NEW");
    prints_table<Snapshot>(session, command, snapshot_table);
    command.callback([&session, flags] { create(session, *flags); });
}

void add_restore(CLI::App& group, Session& session) {
    CLI::App& command =
        add_command(group, "restore", "Make the disks of a stopped VM what they were, content and size",
                    "capsulctl stop web && capsulctl vm snapshot restore web before-upgrade    # asks\n"
                    "capsulctl vm snapshot restore web before-upgrade --yes && capsulctl start web");
    auto flags = add_snapshot_vm(command);
    add_snapshot(command, *flags);
    prints_table<Snapshot>(session, command, snapshot_table, true);
    command.callback([&session, flags] { restore(session, *flags); });
}

void add_snapshot_delete(CLI::App& group, Session& session) {
    CLI::App& command =
        add_command(group, "delete", "Delete a snapshot, also while the VM runs",
                    "capsulctl vm snapshot delete web before-upgrade    # asks, on a terminal\n"
                    "capsulctl vm snapshot rm web before-upgrade --yes");
    command.alias("rm");
    auto flags = add_snapshot_vm(command);
    add_snapshot(command, *flags);
    prints_table<Snapshot>(session, command, snapshot_table, true);
    command.callback([&session, flags] { remove(session, *flags); });
}

} // namespace

void add_vm_snapshot(CLI::App& parent, Session& session) {
    CLI::App& snapshot = add_command(parent, "snapshot", "Keep and bring back what the disks of a VM hold",
                                     "capsulctl vm snapshot create web before-upgrade\n"
                                     "capsulctl vm snapshot list web\n"
                                     "capsulctl vm snapshot restore web before-upgrade");
    add_create(snapshot, session);
    add_snapshot_list(snapshot, session);
    add_restore(snapshot, session);
    add_snapshot_delete(snapshot, session);
}

} // namespace capsul::cli
