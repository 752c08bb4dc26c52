// The commands that work inside a guest: exec through its agent, ssh.
#include "cli/commands.hpp"
#include "cli/input_file.hpp"
#include "cli/terminal.hpp"
#include "lib/base64.hpp"
#include "lib/fd.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <unistd.h>

namespace capsul::cli {
namespace {

namespace fs = std::filesystem;

/// Base64 makes a third more of it, and a request may be 1 MiB long (capsuld.toml: max_body).
constexpr std::size_t input_limit = std::size_t{700} << 10U;

struct ExecFlags {
    std::string name;
    std::vector<std::string> command;
    std::string timeout;
    bool no_stdin = false;
};

/// The command's words: those before and after "--".
std::vector<std::string> command_words(Session& session, std::vector<std::string> words) {
    std::ranges::move(std::exchange(session.rest, {}), std::back_inserter(words));
    return words;
}

void write_error_output(std::string_view bytes) {
    try {
        write_all(STDERR_FILENO, bytes, "standard error");
    } catch (const Error&) { // NOLINT(bugprone-empty-catch): there is nowhere left to say so
    }
}

std::string decode_output(const std::string& base64) {
    auto bytes = base64_decode(base64);
    if (!bytes) {
        throw_bad_answer(Error(ErrorCode::invalid, "the command's output is not Base64"));
    }
    return *std::move(bytes);
}

std::string read_command_input(const std::string& vm) {
    try {
        return read_stream(STDIN_FILENO, "standard input", input_limit);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::too_large) {
            throw;
        }
        throw Error(
            error.code(), error.what(),
            fmt::format("ssh takes more: capsulctl ssh {} -- COMMAND < FILE; -n passes no input", vm));
    }
}

void exec(Session& session, const ExecFlags& flags) {
    VmExec call;
    call.name = Name::parse(flags.name);
    call.command = command_words(session, flags.command);
    if (call.command.empty()) {
        throw Error(ErrorCode::invalid, "no command is given", "capsulctl exec VM -- COMMAND [ARGUMENT...]");
    }
    if (!flags.timeout.empty()) {
        call.timeout = parse_option<Duration>("--timeout", flags.timeout);
    }
    if (!flags.no_stdin && !is_terminal(STDIN_FILENO)) {
        call.input_base64 = base64_encode(read_command_input(flags.name));
    }
    const auto result = session.run(call, "vm " + flags.name);
    session.exit_code = result.exit_code;
    if (session.wants_json()) {
        session.out().write(render_object(encode(result), session.output_options()));
        return;
    }
    session.out().write(decode_output(result.stdout_base64));
    session.out().flush();
    write_error_output(decode_output(result.stderr_base64));
    if (result.truncated) {
        session.note(fmt::format("vm {}: the output was too long, its end is missing", flags.name));
    }
}

struct SshFlags {
    std::string name;
    std::vector<std::string> command;
    std::string user;
    std::vector<std::string> identities;
    std::vector<std::string> options;
};

/// A guest says who logs in to it; this must not become an option of ssh(1), nor anything else but a name.
void check_user(const std::string& user) {
    constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    if (user.empty() || user.size() > 64 || user.front() == '-' ||
        user.find_first_not_of(allowed) != std::string::npos) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not a user's name", user),
                    "name one with --user");
    }
}

fs::path known_hosts_folder() {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    if (runtime != nullptr && fs::path(runtime).is_absolute() && ::access(runtime, W_OK) == 0) {
        return fs::path(runtime) / "capsul-ssh";
    }
    const char* home = std::getenv("HOME"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    if (home == nullptr || !fs::path(home).is_absolute()) {
        throw Error(ErrorCode::not_capable, "neither XDG_RUNTIME_DIR nor HOME names a folder");
    }
    return fs::path(home) / ".cache/capsul/ssh";
}

/// Writes the keys that the guest's agent reported under the VM's own name, so that one file serves any port.
fs::path write_known_hosts(const SshTarget& target, const std::string& alias) {
    std::string text;
    for (const std::string& key : target.host_keys) {
        text += fmt::format("{} {}\n", alias, SshKey::parse(key).to_string());
    }
    if (text.empty()) {
        throw Error(ErrorCode::wrong_state,
                    "the guest has not reported its host keys, so its identity is unknown",
                    fmt::format("capsulctl vm wait {0} --for ssh; then again", alias));
    }
    fs::path file = known_hosts_folder() / alias;
    make_folders(file.parent_path());
    replace_file(file, text);
    return file;
}

std::vector<std::string> ssh_command(const SshFlags& flags, const SshTarget& target,
                                     const fs::path& known_hosts) {
    std::vector<std::string> words{"ssh",
                                   "-p",
                                   std::to_string(target.endpoint.port),
                                   "-l",
                                   flags.user.empty() ? target.user : flags.user,
                                   "-o",
                                   fmt::format("UserKnownHostsFile=\"{}\"", known_hosts.string()),
                                   "-o",
                                   "GlobalKnownHostsFile=/dev/null",
                                   "-o",
                                   "StrictHostKeyChecking=yes",
                                   "-o",
                                   "UpdateHostKeys=no",
                                   "-o",
                                   "HostKeyAlias=" + flags.name};
    for (const std::string& identity : flags.identities) {
        words.insert(words.end(), {"-i", identity});
    }
    words.insert(words.end(), flags.options.begin(), flags.options.end());
    words.insert(words.end(), {"--", target.endpoint.address});
    return words;
}

[[noreturn]] void become(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    for (const std::string& word : words) {
        argv.push_back(const_cast<char*>(word.c_str())); // NOLINT(*-const-cast): execvp does not write to it
    }
    argv.push_back(nullptr);
    std::signal(SIGPIPE, SIG_DFL); // NOLINT(*-old-style-cast): what main changed is not ssh's
    ::execvp(argv.front(), argv.data());
    const int number = errno;
    throw Error(number == ENOENT ? ErrorCode::not_capable : ErrorCode::internal,
                fmt::format("cannot run ssh: {}", std::generic_category().message(number)),
                number == ENOENT ? "sudo apt install openssh-client" : "");
}

void ssh(Session& session, const SshFlags& flags) {
    const Name name = Name::parse(flags.name);
    const std::vector<std::string> command = command_words(session, flags.command);
    about("vm " + flags.name, [&] {
        const SshTarget target = session.client().call(VmSsh{name});
        check_user(flags.user.empty() ? target.user : flags.user);
        const fs::path known_hosts = write_known_hosts(target, flags.name);
        std::vector<std::string> words = ssh_command(flags, target, known_hosts);
        words.insert(words.end(), command.begin(), command.end());
        become(words);
    });
}

} // namespace

void add_vm_exec(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "exec", "Run a command in the guest, as root, through its agent",
                    "capsulctl exec web -- systemctl is-system-running\n"
                    "capsulctl exec web -- sh -c 'df -h / | tail -1'\n"
                    "capsulctl exec db -- psql -f - < schema.sql    # at most 700 KiB of input");
    auto flags = std::make_shared<ExecFlags>();
    command.add_option("VM", flags->name, "The VM")->required()->type_name("VM");
    command.add_option("COMMAND", flags->command, "The command and its arguments, after --")
        ->type_name("GUEST");
    command.add_option("--timeout", flags->timeout, "How long it may run (default: 5m)")->type_name("TIME");
    command.add_flag("-n,--no-stdin", flags->no_stdin, "Do not read standard input (for use in loops)");
    command.callback([&session, flags] { exec(session, *flags); });
}

void add_vm_ssh(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "ssh", "Log in to a guest, or run a command there, by ssh(1)",
                    "capsulctl ssh web\n"
                    "capsulctl ssh web -- uptime\n"
                    "capsulctl ssh web --user root -i ~/.ssh/lab -- journalctl -b\n"
                    "capsulctl ssh web --ssh-option -L8080:localhost:80    # any option of ssh(1)");
    auto flags = std::make_shared<SshFlags>();
    command.add_option("VM", flags->name, "The VM")->required()->type_name("VM");
    command.add_option("COMMAND", flags->command, "What to run there, after --")->type_name("GUEST");
    command.add_option("-u,--user", flags->user, "Who to log in as (default: what the guest says)")
        ->type_name("USER");
    command.add_option("-i,--identity", flags->identities, "A private key to log in with")
        ->type_name("FILE")
        ->allow_extra_args(false);
    command
        .add_option("--ssh-option", flags->options, "An option for ssh(1), such as -A or -oLogLevel=DEBUG")
        ->type_name("OPTION")
        ->allow_extra_args(false);
    command.callback([&session, flags] { ssh(session, *flags); });
}

} // namespace capsul::cli
