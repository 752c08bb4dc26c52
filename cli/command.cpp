#include "cli/command.hpp"

#include "cli/help.hpp"
#include "lib/nearest.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

std::vector<std::string> command_names(const CLI::App& command) {
    std::vector<std::string> names;
    for (const CLI::App* sub :
         command.get_subcommands([](const CLI::App* app) { return !app->get_group().empty(); })) {
        names.push_back(sub->get_name());
    }
    return names;
}

/// The long options of a command and of those above it.
std::vector<std::string> option_names(const CLI::App* command) {
    std::vector<std::string> names;
    for (; command != nullptr; command = command->get_parent()) {
        for (const CLI::Option* option : command->get_options()) {
            for (const std::string& name : option->get_lnames()) {
                names.push_back("--" + name);
            }
        }
    }
    return names;
}

/// Whether words for a guest follow: theirs are the options that we do not know.
bool is_guest_command(const CLI::App& command) {
    return command.get_name() == "exec" || command.get_name() == "ssh";
}

/// "vm create: ", what an error begins with; nothing for the program itself, which names itself anyway.
std::string error_prefix(const CLI::App& command) {
    const std::string path = command_path(command);
    const auto space = path.find(' ');
    return space == std::string::npos ? "" : path.substr(space + 1) + ": ";
}

std::string refuse_empty(const std::string& text) {
    return text.empty() ? "needs a value" : "";
}

} // namespace

CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& examples) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->footer(examples);
    command->require_subcommand(0, 1);
    command->fallthrough();
    return *command;
}

std::string command_path(const CLI::App& command) {
    const CLI::App* parent = command.get_parent();
    return parent == nullptr ? command.get_name() : command_path(*parent) + " " + command.get_name();
}

const CLI::App& chosen_command(const CLI::App& program) {
    const CLI::App* command = &program;
    while (!command->get_subcommands().empty()) {
        command = command->get_subcommands().back();
    }
    return *command;
}

Error unexpected_word(const CLI::App& command, const std::string& word) {
    const std::string prefix = error_prefix(command);
    const std::string see = fmt::format("`{} --help` shows what there is", command_path(command));
    const auto meant = [&](const std::vector<std::string>& candidates) {
        const std::string near = nearest(word, candidates);
        return near.empty() ? see : fmt::format("did you mean {}?", near);
    };
    if (word.starts_with('-') && word.size() > 1) {
        const std::string option = word.substr(0, word.find('='));
        if (is_guest_command(command)) {
            return {ErrorCode::invalid, prefix + "there is no option " + option,
                    "put -- before the command that the guest is to run"};
        }
        return {ErrorCode::invalid, prefix + "there is no option " + option, meant(option_names(&command))};
    }
    const std::vector<std::string> commands = command_names(command);
    if (!commands.empty()) {
        return {ErrorCode::invalid, fmt::format("{}there is no command '{}'", prefix, word), meant(commands)};
    }
    return {ErrorCode::invalid, fmt::format("{}'{}' is one argument too many", prefix, word), see};
}

Error usage_error(const CLI::App& program, const CLI::ParseError& error) {
    const CLI::App& command = chosen_command(program);
    const std::vector<std::string> left = program.remaining(true);
    // A word that fits nowhere explains more than what is missing because of it.
    if (!left.empty()) {
        return unexpected_word(command, left.front());
    }
    const std::string see = fmt::format("`{} --help` shows how it is used", command_path(command));
    std::string words = error.what();
    if (error.get_name() == "ArgumentMismatch") {
        const std::string option = words.substr(0, words.find(':'));
        const bool missing =
            words.find("missing") != std::string::npos || words.find("At least") != std::string::npos;
        words = option + (missing ? " needs a value" : " is given more than once, or has too many values");
    }
    if (error.get_name() == "ConversionError" && words.find("--") != std::string::npos) {
        const std::string option = words.substr(words.find("--"));
        words = option.substr(0, option.find(' ')) + " takes no such value";
    }
    return {ErrorCode::invalid, error_prefix(command) + words, see};
}

void add_text(CLI::App& command, const char* names, std::string& value, const char* type,
              const char* description) {
    command.add_option(names, value, description)->type_name(type)->check(refuse_empty);
}

void add_texts(CLI::App& command, const char* names, std::vector<std::string>& values, const char* type,
               const char* description) {
    command.add_option(names, values, description)
        ->type_name(type)
        ->allow_extra_args(false)
        ->check(refuse_empty);
}

int parse_number(const char* option, const std::string& text, int low, int high) {
    int number = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, failure] = std::from_chars(text.data(), end, number);
    if (failure != std::errc{} || stopped != end || number < low || number > high) {
        throw Error(ErrorCode::invalid,
                    fmt::format("{}: '{}' is not a whole number from {} to {}", option, text, low, high));
    }
    return number;
}

std::vector<Name> parse_names(const std::vector<std::string>& words) {
    std::vector<Name> names;
    for (const std::string& word : words) {
        const Name name = Name::parse(word);
        if (std::ranges::find(names, name) == names.end()) {
            names.push_back(name);
        }
    }
    return names;
}

} // namespace capsul::cli
