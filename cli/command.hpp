// The command line: how a command is declared, and what a wrong one is told.
#pragma once

#include "cli/session.hpp"
#include "lib/name.hpp"
#include "lib/size.hpp"

#include <CLI/CLI.hpp> // CLI/App.hpp alone does not link
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

/// A command under `parent`. `examples` are lines of "COMMAND" or "COMMAND  # why", shown at the end of its
/// help. The type names that its options are given ("FILE", "IMAGE", "table|wide") serve help and completion.
CLI::App& add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& examples);

/// Declares the columns of the table that `command` prints, so that --columns is checked before anything is
/// done.
template <class T>
void prints_table(Session& session, const CLI::App& command, std::span<const Column<T>> columns,
                  bool only_as_csv = false) {
    TableFacts& facts = session.tables[&command];
    facts.only_as_csv = only_as_csv;
    for (const Column<T>& column : columns) {
        facts.columns.emplace_back(column.name);
    }
}

/// The type of an option that is a NIC, which is completed with the names of networks.
inline constexpr const char* nic_type = "NETWORK[,ip=A][,mac=M]";

/// The type of an argument that is another host of a VPN: of the network that the first argument names.
inline constexpr const char* node_type = "NODE";

/// The types of arguments that are a data disk and a snapshot: of the VM that the first argument names.
inline constexpr const char* disk_type = "DISK";
inline constexpr const char* snapshot_type = "SNAPSHOT";

/// The path from the program's name, such as "capsulctl vm create".
[[nodiscard]] std::string command_path(const CLI::App& command);

/// The innermost command that the words of the command line chose.
[[nodiscard]] const CLI::App& chosen_command(const CLI::App& program);

/// What a command line that CLI11 refused is told: our words, and what may have been meant.
[[nodiscard]] Error usage_error(const CLI::App& program, const CLI::ParseError& error);

/// What someone is told whose `word` is neither command, option nor argument of `command`.
[[nodiscard]] Error unexpected_word(const CLI::App& command, const std::string& word);

/// The one of `candidates` that was probably meant by `word`; empty when none is near.
[[nodiscard]] std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

/// The value of an option; an Error names the option.
template <class T>
[[nodiscard]] T parse_option(const char* option, const std::string& text) {
    try {
        if constexpr (WordedEnum<T>) {
            return enum_from<T>(text);
        } else if constexpr (requires { T::from_text(text); }) {
            return T::from_text(text);
        } else {
            return T::parse(text);
        }
    } catch (const Error& error) {
        throw Error(error.code(), std::string(option) + ": " + error.what(), error.hint());
    }
}

/// Nothing for an option that was not given.
template <class T>
[[nodiscard]] std::optional<T> parse_given(const char* option, const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(parse_option<T>(option, text));
}

/// The values of an option that repeats.
template <class T>
[[nodiscard]] std::vector<T> parse_each(const char* option, const std::vector<std::string>& words) {
    std::vector<T> values;
    for (const std::string& word : words) {
        values.push_back(parse_option<T>(option, word));
    }
    return values;
}

/// An option with a value that is not empty: an unset variable of a script must not be as good as no option.
void add_text(CLI::App& command, const char* names, std::string& value, const char* type,
              const char* description);

/// One that may be given several times.
void add_texts(CLI::App& command, const char* names, std::vector<std::string>& values, const char* type,
               const char* description);

[[nodiscard]] int parse_number(const char* option, const std::string& text, int low, int high);

[[nodiscard]] std::vector<Name> parse_names(const std::vector<std::string>& words);

} // namespace capsul::cli
