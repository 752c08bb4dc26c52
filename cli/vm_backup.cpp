// vm backup, vm restore.
#include "cli/commands.hpp"
#include "cli/input_file.hpp"
#include "cli/output_file.hpp"
#include "cli/targets.hpp"
#include "cli/terminal.hpp"
#include "cli/transfer.hpp"
#include "cli/vm_view.hpp"
#include "lib/backup.hpp"

#include <array>
#include <fmt/format.h>
#include <memory>
#include <unistd.h>

namespace capsul::cli {
namespace {

struct BackupFlags {
    std::string vm;
    std::string file;
    bool no_image = false;
    bool force = false;
};

struct RestoreFlags {
    std::string file;
    std::string as;
    std::vector<std::string> networks;
    std::vector<std::string> publish;
    bool start = false;
};

/// What was written, for a program.
struct BackupFile {
    Name vm;
    std::string file;
    std::uint64_t size = 0;
    Timestamp created;
    Consistency consistency = Consistency::crash;
    bool has_image = true;
    static constexpr auto fields() {
        return field_list(required("vm", &BackupFile::vm), required("file", &BackupFile::file),
                          required("size", &BackupFile::size), required("created", &BackupFile::created),
                          required("consistency", &BackupFile::consistency),
                          required("has_image", &BackupFile::has_image));
    }
};

constexpr std::array<Column<BackupFile>, 6> columns{{
    {"vm", [](const BackupFile& backup) { return backup.vm.to_string(); }},
    {"file", [](const BackupFile& backup) { return backup.file; }},
    {"size", [](const BackupFile& backup) { return human_size(backup.size); }, Shown::always, true, nullptr,
     [](const BackupFile& backup) { return std::to_string(backup.size); }},
    {"created", [](const BackupFile& backup) { return backup.created.to_string(); }},
    {"consistency", [](const BackupFile& backup) { return std::string(to_string(backup.consistency)); }},
    {"image", [](const BackupFile& backup) { return std::string(backup.has_image ? "yes" : "no"); }},
}};

const char* words(Consistency consistency) {
    switch (consistency) {
    case Consistency::stopped:
        return "consistent: the VM is stopped";
    case Consistency::frozen:
        return "consistent: the guest's file systems were at rest";
    case Consistency::crash:
        break;
    }
    return "crash-consistent: the guest's file systems were not put to rest, as qemu-guest-agent does when "
           "it "
           "runs in it";
}

VmBackup call_of(const BackupFlags& flags) {
    if (flags.file == "-" && flags.force) {
        throw Error(ErrorCode::invalid, "--force: there is no file to replace");
    }
    if (flags.file == "-" && is_terminal(STDOUT_FILENO)) {
        throw Error(ErrorCode::invalid, "FILE: standard output is a terminal", "pipe or redirect it");
    }
    return {Name::parse(flags.vm), !flags.no_image};
}

void tell(Session& session, const std::string& subject, const std::string& file, const BackedUp& made) {
    session.note(fmt::format("{}: backed up to {}, {}; {}", subject, file == "-" ? "standard output" : file,
                             human_size(made.archive.size), words(made.consistency)));
}

void backup_to_stdout(Session& session, const VmBackup& call, const std::string& subject) {
    const BackedUp made = session.run(call, subject);
    receive_file(session, subject, made.archive, [&](std::string_view piece) {
        session.out().write(piece);
        return !session.out().reader_gone();
    });
    tell(session, subject, "-", made);
}

void backup_to_file(Session& session, const VmBackup& call, const BackupFlags& flags,
                    const std::string& subject) {
    OutputFile file(flags.file, flags.force, OutputFile::For::owner);
    const BackedUp made = session.run(call, subject);
    receive_file(session, subject, made.archive, [&](std::string_view piece) {
        file.write(piece);
        return true;
    });
    file.finish();
    tell(session, subject, flags.file, made);
    print_results<BackupFile>(
        session, {{made.vm, flags.file, made.archive.size, made.created, made.consistency, made.has_image}},
        true, columns);
}

void backup(Session& session, const BackupFlags& flags) {
    const VmBackup call = call_of(flags);
    const std::string subject = "vm " + flags.vm;
    about(subject, [&] {
        flags.file == "-" ? backup_to_stdout(session, call, subject)
                          : backup_to_file(session, call, flags, subject);
    });
}

void note_restored(Session& session, const FromBackup& result, bool started) {
    const std::string vm = "vm " + result.vm.name.to_string();
    session.note(fmt::format("{}: restored as it was at {}{}{}", vm, result.created.to_string(),
                             result.consistency == Consistency::crash ? ", as after a power cut" : "",
                             started ? ", and running" : ""));
    if (result.image) {
        session.note(fmt::format("image {}: imported from the backup", result.image->to_string()));
    }
    if (!result.left_out.empty()) {
        session.note(
            fmt::format("{}: does not publish {} any more; --publish gives it others", vm,
                        joined(result.left_out, [](const PublishedPort& port) { return port.to_string(); })));
    }
}

void restore(Session& session, const RestoreFlags& flags) {
    BackupRestore call;
    call.as = parse_given<Name>("--as", flags.as);
    call.networks = parse_each<NetworkChange>("--network", flags.networks);
    call.publish = parse_each<PublishedPort>("--publish", flags.publish);
    call.start = flags.start;
    const std::string subject = flags.as.empty() ? "backup " + flags.file : "vm " + flags.as;
    about(subject, [&] {
        const UniqueFd file = open_input("FILE", flags.file);
        call.archive = send_file(session, subject, file, "backup");
        const FromBackup result = session.run(call, subject);
        note_restored(session, result, flags.start);
        if (session.wants_json()) {
            session.out().write(render_object(encode(result), session.output_options()));
        } else {
            print_made<Vm>(session.out(), session.output_options(), result.vm, vm_columns());
        }
    });
}

} // namespace

void add_vm_backup(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "backup", "Write all of a VM to one file, while it runs or not",
        "capsulctl vm backup web web.tar.zst\n"
        "capsulctl vm backup web - | ssh vault 'cat > web.tar.zst'\n"
        "capsulctl vm backup web web.tar.zst --no-image    # this host has it, and so will the other");
    auto flags = std::make_shared<BackupFlags>();
    command.add_option("VM", flags->vm, "The VM")->required()->type_name("VM");
    command.add_option("FILE", flags->file, "Where to, - for stdout")->required()->type_name("FILE");
    command.add_flag("--no-image", flags->no_image, "Leave out the image that it is made from");
    command.add_flag("--force", flags->force, "Replace a file that is there");
    prints_table<BackupFile>(session, command, columns, true);
    command.callback([&session, flags] { backup(session, *flags); });
}

void add_vm_restore(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "restore", "Make a VM of a backup, here or on another host",
                    "capsulctl vm restore web.tar.zst --start\n"
                    "capsulctl vm restore web.tar.zst --as web2    # beside it, another machine\n"
                    "capsulctl vm restore web.tar.zst --network lan=office\n"
                    "ssh vault 'cat web.tar.zst' | capsulctl vm restore -");
    auto flags = std::make_shared<RestoreFlags>();
    command.add_option("FILE", flags->file, "The backup, - for stdin")->required()->type_name("FILE");
    add_text(command, "--as", flags->as, "NEW", "Another name, and another machine: UUID, MACs, addresses");
    add_texts(command, "--network", flags->networks, "OLD=NEW", "Plug its NIC on OLD into NEW");
    add_texts(command, "-p,--publish", flags->publish, "[ADDR:]PORT:PORT[/udp]",
              "Host port that leads to a port of the VM, instead of those in the backup");
    command.add_flag("--start", flags->start, "Start it");
    prints_table<Vm>(session, command, vm_columns());
    command.callback([&session, flags] { restore(session, *flags); });
}

} // namespace capsul::cli
