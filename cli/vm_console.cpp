// The serial console of a VM, live or as it was logged.
#include "cli/commands.hpp"
#include "cli/relay.hpp"
#include "cli/terminal.hpp"
#include "lib/vm.hpp"

#include <fmt/format.h>
#include <memory>
#include <unistd.h>

namespace capsul::cli {
namespace {

void print_stream(Session& session, const VmLogs& call) {
    const bool to_terminal = is_terminal(STDOUT_FILENO);
    LogFilter filter;
    session.client().stream(call, [&](std::string_view piece) {
        session.out().write(to_terminal ? filter.filter(piece) : std::string(piece));
        session.out().flush();
        return !session.out().reader_gone();
    });
    if (to_terminal) {
        session.out().write(filter.finish());
    }
}

struct ConsoleFlags {
    std::string name;
    bool log = false;
};

void attach(Session& session, const Name& name) {
    const std::string& word = name.to_string();
    const UniqueFd console = session.client().tunnel(VmConsole{name});
    const bool interactive = is_terminal(STDIN_FILENO);
    if (interactive) {
        session.note(
            fmt::format("vm {}: attached to the console; Ctrl-] leaves, Enter may show a prompt", word));
    }
    const RelayEnd end = relay_console(console.get(), session.out());
    if (interactive && !session.quiet()) {
        write_all(STDERR_FILENO, "\n", "standard error"); // the guest left the cursor anywhere
        session.note(end == RelayEnd::closed ? fmt::format("vm {}: the console has closed", word)
                                             : fmt::format("vm {}: left the console", word));
    }
}

void console(Session& session, const ConsoleFlags& flags) {
    const Name name = Name::parse(flags.name);
    about("vm " + flags.name, [&] {
        if (flags.log) {
            print_stream(session, VmLogs{.name = name});
        } else {
            attach(session, name);
        }
    });
}

struct LogsFlags {
    std::string name;
    std::string source = "serial";
    std::string lines;
    bool follow = false;
};

void logs(Session& session, const LogsFlags& flags) {
    VmLogs call;
    call.name = Name::parse(flags.name);
    call.source = parse_option<LogSource>("--source", flags.source);
    call.follow = flags.follow;
    if (!flags.lines.empty()) {
        call.lines = parse_number("--lines", flags.lines, 1, 1'000'000);
    }
    about("vm " + flags.name, [&] { print_stream(session, call); });
}

} // namespace

void add_vm_console(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "console", "Attach to the serial console; Ctrl-] leaves",
                                    "capsulctl console web\n"
                                    "capsulctl console web --log | less -R    # what it printed so far\n"
                                    "printf 'root\\n' | timeout 5 capsulctl console web");
    auto flags = std::make_shared<ConsoleFlags>();
    command.add_option("VM", flags->name, "The VM")->required()->type_name("VM");
    command.add_flag("--log", flags->log, "Print what the console printed so far, and attach to nothing");
    session.texts.insert(&command);
    command.callback([&session, flags] { console(session, *flags); });
}

void add_vm_logs(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "logs", "Show what a VM, its QEMU or its unit logged",
                                    "capsulctl logs web -n 50\n"
                                    "capsulctl logs web -f\n"
                                    "capsulctl logs web --source unit    # QEMU's messages and systemd's");
    auto flags = std::make_shared<LogsFlags>();
    command.add_option("VM", flags->name, "The VM")->required()->type_name("VM");
    command.add_option("-s,--source", flags->source, "Whose log (default: serial, the guest's console)")
        ->type_name("serial|qemu|unit");
    command.add_option("-n,--lines", flags->lines, "The last N lines only")->type_name("N");
    command.add_flag("-f,--follow", flags->follow, "Go on with what comes");
    session.texts.insert(&command);
    command.callback([&session, flags] { logs(session, *flags); });
}

} // namespace capsul::cli
