#include "cli/session.hpp"

#include "cli/command.hpp"
#include "cli/terminal.hpp"
#include "lib/paths.hpp"

#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

template <class E>
E word_option(const char* option, std::string_view word) {
    try {
        return enum_from<E>(word);
    } catch (const Error& error) {
        throw Error(ErrorCode::invalid, fmt::format("{}: {}", option, error.what()));
    }
}

Color color_from(const std::string& word) {
    if (word == "auto") {
        return Color::automatic;
    }
    if (word != "always" && word != "never") {
        throw Error(ErrorCode::invalid, fmt::format("--color: '{}' is not one of auto, always, never", word));
    }
    return word == "always" ? Color::always : Color::never;
}

ProgressMode progress_from(const GlobalOptions& options) {
    if (options.progress == "none" || options.quiet) {
        return ProgressMode::none;
    }
    if (options.progress == "tty") {
        return ProgressMode::tty;
    }
    if (options.progress != "auto" && options.progress != "plain") {
        throw Error(ErrorCode::invalid,
                    fmt::format("--progress: '{}' is not one of auto, tty, plain, none", options.progress));
    }
    const bool redraw = options.progress == "auto" && is_smart_terminal(STDERR_FILENO);
    return redraw ? ProgressMode::tty : ProgressMode::plain;
}

Format format_from(const GlobalOptions& options) {
    if (options.json) {
        return Format::json;
    }
    if (!options.output.empty()) {
        return word_option<Format>("--output", options.output);
    }
    const char* chosen = std::getenv("CAPSUL_OUTPUT"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    return chosen == nullptr || *chosen == '\0' ? Format::table
                                                : word_option<Format>("CAPSUL_OUTPUT", chosen);
}

} // namespace

std::string Session::socket() const {
    return options.socket.empty() ? client_socket().string() : options.socket;
}

Client& Session::client() {
    if (!client_) {
        client_ = std::make_unique<Client>(socket());
    }
    return *client_;
}

OutputOptions Session::output_options() const {
    OutputOptions chosen;
    chosen.format = format_from(options);
    if (options.quiet && (chosen.format == Format::table || chosen.format == Format::wide)) {
        chosen.format = Format::name;
    }
    const bool grid =
        chosen.format == Format::table || chosen.format == Format::wide || chosen.format == Format::csv;
    if (!options.columns.empty() && !grid) {
        throw Error(ErrorCode::invalid,
                    "--columns: goes with tables and CSV, not with -q nor -o json, jsonl, name");
    }
    chosen.headings = !options.no_headers;
    chosen.color = use_color(color_from(options.color), STDOUT_FILENO);
    chosen.to_terminal = is_terminal(STDOUT_FILENO);
    chosen.columns = options.columns;
    return chosen;
}

void Session::check_options(const CLI::App& command) const {
    const OutputOptions output = output_options();
    static_cast<void>(progress_from(options));
    const bool asks_json = options.json || !options.output.empty(); // on the line: CAPSUL_OUTPUT is for all
    if (asks_json && wants_json() && texts.contains(&command)) {
        throw Error(ErrorCode::invalid, fmt::format("--json: `{}` prints text", command_path(command)));
    }
    if (options.columns.empty()) {
        return;
    }
    const auto table = tables.find(&command);
    if (table == tables.end()) {
        throw Error(ErrorCode::invalid,
                    fmt::format("--columns: `{}` prints no table", command_path(command)));
    }
    if (table->second.only_as_csv && output.format != Format::csv) {
        throw Error(ErrorCode::invalid,
                    fmt::format("--columns: `{}` prints a table with -o csv only", command_path(command)));
    }
    check_columns(options.columns, table->second.columns);
}

bool Session::wants_data() const {
    const Format format = format_from(options);
    return format != Format::table && format != Format::wide;
}

bool Session::wants_json() const {
    const Format format = format_from(options);
    return format == Format::json || format == Format::jsonl;
}

bool Session::json_errors() const noexcept {
    try {
        return wants_json();
    } catch (const Error&) {
        return false;
    }
}

Progress& Session::progress() {
    if (!progress_) {
        progress_ = std::make_unique<Progress>(progress_from(options));
    }
    return *progress_;
}

void Session::note(const std::string& line) {
    if (!options.quiet) {
        out_.flush(); // on a terminal both end in one place, in this order
        progress().say(printable(line));
    }
}

void Session::report(const Error& error) {
    out_.flush();
    std::string text;
    if (json_errors()) {
        const Json json{{"code", to_string(error.code())}, {"message", error.what()}, {"hint", error.hint()}};
        text = json.dump(-1, ' ', is_terminal(STDERR_FILENO), Json::error_handler_t::replace);
    } else {
        text = "capsulctl: " + printable(error.what());
        if (!error.hint().empty()) {
            text += "\nhint: " + printable(error.hint(), true);
        }
    }
    if (progress_) {
        progress_->say(text);
    } else {
        text += '\n';
        static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
    }
}

Json Session::follow_json(const Operation& begun, const std::string& subject) {
    const auto tell = [&](const Operation& now) {
        progress().show(subject, now.message.empty() ? std::string(to_string(now.state)) : now.message,
                        now.percent);
    };
    tell(begun);
    try {
        Json result = client().follow(begun, tell);
        progress().clear();
        return result;
    } catch (const NoDaemon& error) {
        progress().clear();
        throw NoDaemon(named(subject, error).what(), error.hint());
    } catch (const Error& error) {
        progress().clear();
        throw named(subject, error);
    }
}

Error named(const std::string& subject, const Error& error) {
    const std::string_view message = error.what();
    if (message.starts_with(subject)) {
        return error;
    }
    return {error.code(), subject + ": " + error.what(), error.hint()};
}

std::string ask(const std::string& question, std::size_t most) {
    const std::string text = printable(question) + ' ';
    static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
    std::string answer(most, '\0');
    const ssize_t got = ::read(STDIN_FILENO, answer.data(), answer.size());
    answer.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return answer;
}

void require_somebody(const std::string& command) {
    if (!can_ask()) {
        throw Error(ErrorCode::invalid, command + ": nobody is at a terminal to be asked",
                    "give --yes to go on unasked");
    }
}

bool confirm(const std::string& command, const std::string& question) {
    require_somebody(command);
    const std::string answer = ask(question + " [y/N]", 64);
    return answer == "y\n" || answer == "Y\n" || answer == "yes\n";
}

} // namespace capsul::cli
