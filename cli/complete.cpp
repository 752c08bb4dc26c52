#include "cli/complete.hpp"

#include "cli/commands.hpp"
#include "cli/completion_scripts.hpp"
#include "lib/image.hpp"
#include "lib/network.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <memory>
#include <sys/time.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

const CLI::Option* find_option(const CLI::App* command, const std::string& word) {
    for (; command != nullptr; command = command->get_parent()) {
        for (const CLI::Option* option : command->get_options()) {
            if (option->nonpositional() && option->check_name(word)) {
                return option;
            }
        }
    }
    return nullptr;
}

bool takes_value(const CLI::Option* option) {
    return option != nullptr && option->get_expected_max() > 0;
}

const CLI::App* find_command(const CLI::App& command, const std::string& word) {
    for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
        if (sub->check_name(word)) { // by an alias too
            return sub;
        }
    }
    return nullptr;
}

/// Where on the line the cursor is.
struct Place {
    const CLI::App* command;
    const CLI::Option* awaiting = nullptr; ///< an option whose value comes next
    std::vector<std::string> positionals;  ///< given so far
    bool in_guest = false;                 ///< after "--"
    bool in_help = false;                  ///< `command` is the one that help is asked about
};

Place walk(const CLI::App& program, const std::vector<std::string>& words) {
    Place place{.command = &program, .positionals = {}};
    for (const std::string& word : words) {
        if (word == "=") { // bash makes a word of it
            continue;
        }
        if (place.awaiting != nullptr) {
            place.awaiting = nullptr;
        } else if (word == "--") {
            place.in_guest = true;
        } else if (word.starts_with('-')) {
            const CLI::Option* option = find_option(place.command, word);
            place.awaiting = takes_value(option) ? option : nullptr;
        } else if (place.command == &program && word == "help") {
            place.in_help = true;
        } else if (const CLI::App* sub = find_command(*place.command, word)) {
            place.command = sub;
        } else {
            place.positionals.push_back(word);
        }
    }
    return place;
}

/// Whether a word of a type stands for what a person makes up, as LIST does.
bool is_placeholder(const std::string& word) {
    return std::ranges::all_of(word, [](char c) { return c >= 'A' && c <= 'Z'; });
}

/// The values that an option or argument of this type can have at this place.
std::vector<Candidate> values_of(const std::string& type, const Place& place, const NamesOf& names_of) {
    std::vector<Candidate> values;
    if (type == "FILE") {
        values.push_back({files_marker, {}});
    } else if (type == "VM" || type == "IMAGE" || type == "NETWORK" || type == node_type ||
               type == disk_type || type == snapshot_type) {
        for (std::string& name : names_of(type, place.positionals.empty() ? "" : place.positionals.front())) {
            values.push_back({std::move(name), {}});
        }
    } else if (type == nic_type) {
        values = values_of("NETWORK", place, names_of);
        values.push_back({std::string(user_network), "QEMU's own, which needs no privilege"});
    } else if (type.find('|') != std::string::npos) {
        for (const std::string& word : CLI::detail::split(type, '|')) {
            if (!is_placeholder(word)) {
                values.push_back({word, {}});
            }
        }
    }
    return values;
}

std::vector<Candidate> options_of(const CLI::App* command) {
    std::vector<Candidate> options;
    for (; command != nullptr; command = command->get_parent()) {
        for (const CLI::Option* option : command->get_options()) {
            for (const std::string& name : option->get_lnames()) {
                const auto same = [&](const Candidate& other) { return other.word == "--" + name; };
                if (std::ranges::none_of(options, same)) {
                    options.push_back({"--" + name, option->get_description()});
                }
            }
        }
    }
    return options;
}

std::vector<Candidate> positionals_of(const Place& place, const NamesOf& names_of) {
    std::vector<const CLI::Option*> positionals;
    for (const CLI::Option* option : place.command->get_options()) {
        if (option->get_positional()) {
            positionals.push_back(option);
        }
    }
    if (positionals.empty()) {
        return {};
    }
    const bool beyond = place.positionals.size() >= positionals.size();
    const CLI::Option* option = beyond ? positionals.back() : positionals[place.positionals.size()];
    return beyond && option->get_expected_max() == 1 ? std::vector<Candidate>{}
                                                     : values_of(option->get_type_name(), place, names_of);
}

std::vector<Candidate> everything(const CLI::App& program, const Place& place, const std::string& word,
                                  const NamesOf& names_of) {
    if (place.in_guest) {
        return {};
    }
    if (place.awaiting != nullptr) {
        return values_of(place.awaiting->get_type_name(), place, names_of);
    }
    if (word.starts_with('-')) {
        return options_of(place.in_help ? &program : place.command);
    }
    std::vector<Candidate> all;
    for (const CLI::App* sub : place.command->get_subcommands([](const CLI::App*) { return true; })) {
        all.push_back({sub->get_name(), sub->get_description()});
    }
    return all.empty() && !place.in_help ? positionals_of(place, names_of) : all;
}

std::vector<std::string> nodes_of(Session& session, const std::string& network) {
    std::vector<std::string> nodes;
    const Network shown = session.client().call(NetworkShow{Name::parse(network)});
    for (const VpnPeer& peer : shown.vpn ? shown.vpn->peers : std::vector<VpnPeer>()) {
        nodes.push_back(peer.node.to_string());
    }
    return nodes;
}

/// The disks or the snapshots of a VM.
std::vector<std::string> parts_of(Session& session, const std::string& kind, const std::string& vm) {
    std::vector<std::string> names;
    const Vm shown = session.client().call(VmShow{Name::parse(vm)});
    const VmRecord record = shown.spec.value_or(VmRecord());
    if (kind == disk_type) {
        std::ranges::transform(record.disks, std::back_inserter(names),
                               [](const DataDisk& disk) { return disk.name.to_string(); });
    } else {
        std::ranges::transform(record.snapshots, std::back_inserter(names),
                               [](const Snapshot& snapshot) { return snapshot.name.to_string(); });
    }
    return names;
}

std::vector<std::string> names_from_daemon(Session& session, const std::string& kind,
                                           const std::string& owner) {
    std::vector<std::string> names;
    try {
        if (kind == "VM") {
            for (const Vm& vm : session.client().call(VmList{})) {
                names.push_back(vm.name.to_string());
            }
        } else if (kind == node_type) {
            names = nodes_of(session, owner);
        } else if (kind == disk_type || kind == snapshot_type) {
            names = parts_of(session, kind, owner);
        } else if (kind == "NETWORK") {
            for (const Network& one : session.client().call(NetworkList{})) {
                names.push_back(one.name.to_string());
            }
        } else {
            for (const Image& image : session.client().call(ImageList{})) {
                names.push_back(image.name.to_string());
            }
        }
    } catch (
        const Error&) { // NOLINT(bugprone-empty-catch): without a daemon there are no names, and no noise
    }
    return names;
}

/// The value of --socket on the line: the names to offer are those of that daemon.
std::string socket_on(const std::vector<std::string>& line) {
    std::vector<std::string> words;
    std::ranges::copy_if(line, std::back_inserter(words),
                         [](const std::string& word) { return word != "="; });
    std::string socket;
    for (std::size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
        if (words[i].starts_with("--socket=")) {
            socket = words[i].substr(std::string_view("--socket=").size());
        } else if (words[i] == "--socket" && i + 1 < words.size()) {
            socket = words[i + 1];
        }
    }
    return socket;
}

void limit_time() {
    // The shell then offers nothing, and the prompt does not hang.
    std::signal(SIGALRM, [](int) { ::_exit(0); });
    const itimerval limit{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 90'000}};
    ::setitimer(ITIMER_REAL, &limit, nullptr);
}

void print_script(Session& session, const std::string& shell) {
    const std::string_view script = shell == "bash"   ? bash_completion
                                    : shell == "zsh"  ? zsh_completion
                                    : shell == "fish" ? fish_completion
                                                      : std::string_view{};
    if (script.empty()) {
        throw Error(ErrorCode::invalid, fmt::format("there is no completion for '{}'", shell),
                    "shells are bash, zsh, fish");
    }
    session.out().write(script);
}

} // namespace

std::vector<Candidate> candidates(const CLI::App& program, std::vector<std::string> words,
                                  const NamesOf& names_of) {
    std::string word;
    if (!words.empty()) {
        word = std::move(words.back());
        words.pop_back();
    }
    if (word == "=") { // "--image=" and the cursor right behind
        word.clear();
    }
    std::string prefix;
    if (const auto equals = word.find('='); word.starts_with("--") && equals != std::string::npos) {
        prefix = word.substr(0, equals + 1);
        words.push_back(word.substr(0, equals));
        word.erase(0, equals + 1);
    }
    std::vector<Candidate> found = everything(program, walk(program, words), word, names_of);
    std::erase_if(found, [&](const Candidate& candidate) {
        return candidate.word != files_marker && !candidate.word.starts_with(word);
    });
    for (Candidate& candidate : found) {
        candidate.word.insert(0, candidate.word == files_marker ? "" : prefix);
    }
    return found;
}

int complete(const CLI::App& program, Session& session, const std::vector<std::string>& words) {
    limit_time();
    const bool dashes = !words.empty() && words.front() == "--";
    const std::vector<std::string> line(words.begin() + (dashes ? 1 : 0), words.end());
    session.options.socket = socket_on(line);
    const auto names_of = [&](const std::string& kind, const std::string& owner) {
        return names_from_daemon(session, kind, owner);
    };
    for (const Candidate& candidate : candidates(program, line, names_of)) {
        session.out().write(candidate.word +
                            (candidate.description.empty() ? "" : "\t" + candidate.description) + '\n');
    }
    session.out().flush();
    return 0;
}

void add_completion_commands(CLI::App& program, Session& session) {
    CLI::App& command = add_command(program, "completion", "Print the completion script of a shell",
                                    "source <(capsulctl completion bash)\n"
                                    "capsulctl completion fish > ~/.config/fish/completions/capsulctl.fish");
    auto shell = std::make_shared<std::string>();
    command.add_option("SHELL", *shell, "bash, zsh or fish")->required()->type_name("bash|zsh|fish");
    session.texts.insert(&command);
    command.callback([&session, shell] { print_script(session, *shell); });
}

} // namespace capsul::cli
