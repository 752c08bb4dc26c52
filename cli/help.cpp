#include "cli/help.hpp"

#include "cli/commands.hpp"

#include <fmt/format.h>
#include <memory>
#include <vector>

namespace capsul::cli {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

std::string aligned(const Rows& rows) {
    std::size_t width = 0;
    for (const auto& [left, right] : rows) {
        width = std::max(width, left.size());
    }
    std::string out;
    for (const auto& [left, right] : rows) {
        out += fmt::format("  {:<{}}  {}\n", left, width, right);
    }
    return out;
}

bool repeats(const CLI::Option& option) {
    return option.get_expected_max() > 1;
}

bool takes_value(const CLI::Option& option) {
    return option.get_expected_max() > 0;
}

/// "-n, --lines N", or the name of a positional.
std::string option_left(const CLI::Option& option) {
    std::string left;
    for (const std::string& name : option.get_snames()) {
        left += (left.empty() ? "-" : ", -") + name;
    }
    for (const std::string& name : option.get_lnames()) {
        left += (left.empty() ? "    --" : ", --") + name;
    }
    return takes_value(option) ? left + " " + option.get_type_name() : left;
}

std::string usage_of(const CLI::Option& option) {
    if (option.get_positional()) {
        const std::string name = option.get_name(true) + (repeats(option) ? "..." : "");
        return option.get_required() ? " " + name : " [" + name + "]";
    }
    return option.get_required()
               ? fmt::format(" --{} {}", option.get_lnames().front(), option.get_type_name())
               : "";
}

std::string usage_line(const CLI::App& command) {
    std::string line = "Usage: " + command_path(command);
    std::string positionals;
    bool has_options = false;
    for (const CLI::Option* option : command.get_options()) {
        (option->get_positional() ? positionals : line) += usage_of(*option);
        has_options |= option->nonpositional() && option->get_lnames() != std::vector<std::string>{"help"};
    }
    const bool group = !command.get_subcommands([](const CLI::App*) { return true; }).empty();
    return line + positionals + (group ? " COMMAND" : "") + (has_options ? " [options]" : "") + "\n";
}

std::string commands_text(const CLI::App& command) {
    std::string out;
    std::string group;
    Rows rows;
    const auto end_group = [&] {
        if (!rows.empty()) {
            out += fmt::format("\n{}:\n{}", group, aligned(rows));
        }
        rows.clear();
    };
    for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
        if (sub->get_group().empty()) {
            continue;
        }
        const std::string title = sub->get_group() == "Subcommands" ? "Commands" : sub->get_group();
        if (title != group) {
            end_group();
            group = title;
        }
        rows.emplace_back(sub->get_name(), sub->get_description());
    }
    end_group();
    return out;
}

std::string options_text(const CLI::App& command) {
    Rows positionals;
    Rows options;
    for (const CLI::Option* option : command.get_options()) {
        if (option->get_group().empty()) {
            continue;
        }
        const std::string more = repeats(*option) && option->nonpositional() ? " (repeatable)" : "";
        if (option->get_positional()) {
            positionals.emplace_back(option->get_name(true), option->get_description());
        } else {
            options.emplace_back(option_left(*option), option->get_description() + more);
        }
    }
    std::string out = positionals.empty() ? "" : "\nArguments:\n" + aligned(positionals);
    if (!options.empty()) {
        out += "\nOptions:\n" + aligned(options);
    }
    return out;
}

std::string examples_text(const CLI::App& command) {
    std::string out;
    const std::string examples = command.get_footer();
    std::string_view rest = examples;
    while (!rest.empty()) {
        const auto end = std::min(rest.find('\n'), rest.size());
        out.append(out.empty() ? "\nExamples:\n  " : "  ").append(rest.substr(0, end)).append("\n");
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return out;
}

class HelpFormatter : public CLI::FormatterBase {
  public:
    std::string make_help(const CLI::App* command, std::string /*name*/,
                          CLI::AppFormatMode /*mode*/) const override {
        return help_text(*command);
    }
};

} // namespace

std::string help_text(const CLI::App& command) {
    std::string text = usage_line(command) + "\n" + command.get_description() + "\n" +
                       commands_text(command) + options_text(command) + examples_text(command);
    if (command.get_parent() != nullptr) {
        text += "\nOptions of all commands (-o, --json, -q, --columns ...): see `capsulctl --help`.\n";
    }
    return text;
}

std::shared_ptr<CLI::FormatterBase> help_formatter() {
    return std::make_shared<HelpFormatter>();
}

void add_help_command(CLI::App& program, Session& session) {
    CLI::App& command =
        add_command(program, "help", "Show the help of a command", "capsulctl help vm create");
    auto words = std::make_shared<std::vector<std::string>>();
    command.add_option("COMMAND", *words, "The command, such as vm create")->type_name("COMMAND");
    command.callback([&program, &session, words] {
        const CLI::App* shown = &program;
        for (const std::string& word : *words) {
            const auto subs =
                shown->get_subcommands([&](const CLI::App* sub) { return sub->check_name(word); });
            if (subs.empty()) {
                throw unexpected_word(*shown, word);
            }
            shown = subs.front();
        }
        session.out().write(help_text(*shown));
    });
}

} // namespace capsul::cli
