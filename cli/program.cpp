// The program as a whole: from the words of the command line to the exit code.
#include "cli/commands.hpp"
#include "cli/complete.hpp"
#include "cli/help.hpp"
#include "cli/terminal.hpp"

#include <algorithm>
#include <clocale>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

/// A closed standard descriptor would be taken by the next file or socket that is opened, and written to.
void open_standard_descriptors() {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        if (::fcntl(fd, F_GETFD) < 0) { // NOLINT(*-vararg)
            static_cast<void>(
                !::open("/dev/null", O_RDONLY)); // NOLINT(*-vararg): writing there fails, as it must
        }
    }
}

void add_global_options(CLI::App& program, GlobalOptions& options) {
    const auto last = CLI::MultiOptionPolicy::TakeLast;
    program.add_option("-o,--output", options.output, "The form of data on standard output")
        ->type_name("table|wide|json|jsonl|csv|name")
        ->multi_option_policy(last);
    program.add_flag("--json", options.json, "Short for -o json; errors are JSON too");
    program.add_flag("-q,--quiet", options.quiet,
                     "Print names only; tell nothing on standard error but errors");
    program.add_flag("--no-headers", options.no_headers, "Print no headings");
    program.add_option("--columns", options.columns, "The columns to print, in this order")
        ->type_name("A,B")
        ->delimiter(',')
        ->allow_extra_args(false);
    program.add_option("--color", options.color, "Whether to use colours")
        ->type_name("auto|always|never")
        ->multi_option_policy(last);
    program.add_option("--progress", options.progress, "How to tell the progress of long work")
        ->type_name("auto|tty|plain|none")
        ->multi_option_policy(last);
    program
        .add_option("--socket", options.socket,
                    "The socket of capsuld (default: $CAPSUL_SOCKET, the user's own, or the host's)")
        ->type_name("FILE")
        ->multi_option_policy(last);
    program.set_version_flag("--version", "capsulctl " CAPSUL_VERSION, "Print the version of capsulctl");
}

bool takes_guest_command(const std::string& word) {
    return word == "exec" || word == "ssh";
}

/// Sets aside what a guest is to run, so that nothing here reads meaning into it.
void split_guest_command(std::vector<std::string>& words, Session& session) {
    const auto dashes = std::ranges::find(words, "--");
    if (dashes != words.end() && std::any_of(words.begin(), dashes, takes_guest_command)) {
        session.rest.assign(dashes + 1, words.end());
        words.erase(dashes, words.end());
    }
}

/// Runs when the line is understood, before the command itself.
void check_line(const CLI::App& program, const Session& session) {
    const CLI::App& command = chosen_command(program);
    if (!session.rest.empty() && !takes_guest_command(command.get_name())) {
        throw Error(ErrorCode::invalid, command.get_name() + ": takes no command after --");
    }
    if (command.get_subcommands([](const CLI::App*) { return true; }).empty()) {
        session.check_options(command); // a mistake there is told before anything is done
    }
}

/// What the words say of -o and --json, where CLI11 gave up before it told: that error keeps to it too.
void read_output_option(const std::vector<std::string>& words, GlobalOptions& options) {
    for (auto word = words.begin(); word != words.end() && *word != "--"; ++word) {
        const bool last = std::next(word) == words.end();
        if (*word == "--json") {
            options.json = true;
        } else if (word->starts_with("--output=")) {
            options.output = word->substr(std::string_view("--output=").size());
        } else if ((*word == "--output" || *word == "-o") && !last) {
            options.output = *std::next(word);
        } else if (word->starts_with("-o")) {
            options.output = word->substr(2);
        }
    }
}

int fail(Session& session, const Error& error) {
    session.report(error);
    return exit_code(error.code());
}

int finish(Session& session, int code) {
    try {
        session.out().finish();
        return code;
    } catch (const Error& error) {
        return fail(session, error);
    }
}

/// For someone who named no command.
int show_commands(const CLI::App& command, Session& session) {
    if (session.wants_json()) {
        return fail(session, Error(ErrorCode::invalid, "no command is given",
                                   fmt::format("`{} --help` lists them", command_path(command))));
    }
    const std::string text = help_text(command);
    static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
    return exit_code(ErrorCode::invalid);
}

int run_command(CLI::App& program, Session& session, const std::vector<std::string>& words) {
    try {
        program.parse(
            std::vector<std::string>(words.rbegin(), words.rend())); // CLI11 takes them from the end
        const CLI::App& command = chosen_command(program);
        const bool is_group = !command.get_subcommands([](const CLI::App*) { return true; }).empty();
        return finish(session, is_group ? show_commands(command, session) : session.exit_code);
    } catch (const CLI::CallForHelp&) {
        session.out().write(help_text(chosen_command(program)));
    } catch (const CLI::CallForVersion& version) {
        session.out().write(std::string(version.what()) + '\n');
    } catch (const CLI::ParseError& error) {
        read_output_option(words, session.options);
        return fail(session, usage_error(program, error));
    } catch (const Error& error) {
        return fail(session, error);
    } catch (const std::exception& error) {
        return fail(session, Error(ErrorCode::internal, error.what()));
    }
    return finish(session, 0);
}

} // namespace

void add_all_commands(CLI::App& program, Session& session) {
    program.formatter(help_formatter());
    program.require_subcommand(0, 1);
    program.footer("capsulctl doctor                                  # can this host run VMs?\n"
                   "capsulctl image import debian-12 debian-12.qcow2\n"
                   "capsulctl launch web --image debian-12 --wait ssh\n"
                   "capsulctl ssh web\n"
                   "capsulctl help vm create");
    add_global_options(program, session.options);
    add_vm_commands(program, session);
    add_image_commands(program, session);
    add_network_commands(program, session);
    add_host_commands(program, session);
    add_operation_commands(program, session);
    add_completion_commands(program, session);
    add_help_command(program, session);
    add_short_commands(program, session);
}

int run_program(std::vector<std::string> words) {
    open_standard_descriptors();
    std::signal(SIGPIPE,
                SIG_IGN); // NOLINT(*-old-style-cast): a reader that leaves is no reason to die without a word
    std::setlocale(LC_CTYPE, ""); // NOLINT(concurrency-mt-unsafe): before there are threads
    Session session;
    CLI::App program("Virtual machines the plain Linux way: systemd user units that you can read.",
                     "capsulctl");
    add_all_commands(program, session);
    program.parse_complete_callback([&] { check_line(program, session); });
    if (!words.empty() && words.front() == "__complete") {
        return complete(program, session, {words.begin() + 1, words.end()});
    }
    split_guest_command(words, session);
    return run_command(program, session, words);
}

} // namespace capsul::cli
