// clone: a copy of a VM.
#include "cli/commands.hpp"
#include "cli/disk_view.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm_disks.hpp"

#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct CloneFlags {
    std::string vm;
    std::string to;
    std::vector<std::string> publish;
    bool start = false;
};

void clone(Session& session, const CloneFlags& flags) {
    const VmClone call{Name::parse(flags.vm), Name::parse(flags.to),
                       parse_each<PublishedPort>("--publish", flags.publish), flags.start};
    about("vm " + flags.vm, [&] {
        const Cloned result = session.run(call, "vm " + flags.vm);
        session.note(
            fmt::format("vm {}: a copy of {}{}", flags.to, flags.vm, flags.start ? ", and running" : ""));
        session.note(
            fmt::format("vm {}: at its first boot the guest's cloud-init gives it a machine-id and ssh host "
                        "keys of its own; a guest without cloud-init keeps those of {}",
                        flags.to, flags.vm));
        if (!result.left_out.empty()) {
            session.note(fmt::format(
                "vm {}: does not publish {}, which {} keeps; --publish gives it others", flags.to,
                joined(result.left_out, [](const PublishedPort& port) { return port.to_string(); }),
                flags.vm));
        }
        print_made<Vm>(session.out(), session.output_options(), result.vm, vm_columns());
    });
}

} // namespace

void add_vm_clone(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "clone", "Copy a stopped VM with its disks; the copy is another machine",
                    "capsulctl stop web && capsulctl vm clone web web2 --start\n"
                    "capsulctl vm clone golden test1 --publish 8081:80");
    auto flags = std::make_shared<CloneFlags>();
    command.add_option("VM", flags->vm, "The VM to copy")->required()->type_name("VM");
    command.add_option("NAME", flags->to, "The name of the copy")->required()->type_name("NEW");
    add_texts(command, "-p,--publish", flags->publish, "[ADDR:]PORT:PORT[/udp]",
              "Host port that leads to a port of the copy");
    command.add_flag("--start", flags->start, "Start the copy");
    prints_table<Vm>(session, command, vm_columns());
    command.callback([&session, flags] { clone(session, *flags); });
}

} // namespace capsul::cli
