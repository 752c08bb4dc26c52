// What every command works with: the options that all have, the daemon, and the ways to say something.
#pragma once

#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "lib/client.hpp"

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace capsul::cli {

/// The table that a command prints.
struct TableFacts {
    std::vector<std::string> columns;
    bool only_as_csv = false; ///< a person is told in words instead
};

/// As given on the command line.
struct GlobalOptions {
    std::string socket;
    std::string output;
    bool json = false;
    bool quiet = false;
    bool no_headers = false;
    std::vector<std::string> columns;
    std::string color = "auto";
    std::string progress = "auto";
};

class Session {
  public:
    GlobalOptions options;
    std::vector<std::string> rest; ///< what stands after "--", for a command in the guest
    int exit_code = 0;
    std::map<const CLI::App*, TableFacts> tables; ///< a command that is not here prints none

    std::set<const CLI::App*> texts; ///< commands that print text as it is, which JSON is no form of

    [[nodiscard]] std::string socket() const;
    Client& client();
    Output& out() { return out_; }
    /// Throws Error (invalid) when --output, --color or --columns do not fit.
    [[nodiscard]] OutputOptions output_options() const;
    /// Throws Error (invalid) when any of the options that all commands have does not fit `command`.
    void check_options(const CLI::App& command) const;
    /// Whether the result of an action is wanted on standard output: people are told in a note instead.
    [[nodiscard]] bool wants_data() const;
    /// -o json or jsonl.
    [[nodiscard]] bool wants_json() const;
    [[nodiscard]] bool quiet() const { return options.quiet; }

    /// Tells a person what happened; silent with -q.
    void note(const std::string& line);
    /// Tells that something failed, as text or, with JSON output, as JSON.
    void report(const Error& error);

    /// Waits for an operation that was begun on `subject` ("vm web"); throws its error with the subject
    /// named.
    template <class Result>
    Result follow(const Operation& begun, const std::string& subject) {
        return decode_answer<Result>(follow_json(begun, subject));
    }
    template <Call C>
    typename C::Result run(const C& call, const std::string& subject) {
        return follow<typename C::Result>(client().begin(call), subject);
    }
    [[nodiscard]] Progress& progress();

  private:
    Json follow_json(const Operation& begun, const std::string& subject);
    [[nodiscard]] bool json_errors() const noexcept;

    std::unique_ptr<Client> client_;
    std::unique_ptr<Progress> progress_;
    Output out_{1};
};

/// `error` with "SUBJECT: " before its message, unless that begins so already.
[[nodiscard]] Error named(const std::string& subject, const Error& error);

/// Does `work`, whose Error then names `subject` ("vm web"), unless it is that there is no daemon.
template <class Work>
decltype(auto) about(const std::string& subject, const Work& work) {
    try {
        return work();
    } catch (const NoDaemon&) {
        throw;
    } catch (const Error& error) {
        throw named(subject, error);
    }
}

/// What is typed on the terminal after `question`, with its newline; at most a line of `most` bytes.
[[nodiscard]] std::string ask(const std::string& question, std::size_t most);
/// Throws Error (invalid), naming `command`, when nobody is at a terminal who can be asked.
void require_somebody(const std::string& command);
/// Asks on the terminal; false for anything but yes. Throws as require_somebody does.
[[nodiscard]] bool confirm(const std::string& command, const std::string& question);

} // namespace capsul::cli
