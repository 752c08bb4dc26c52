// One action on several objects: all are tried, at the same time, and each failure is told.
#pragma once

#include "cli/session.hpp"
#include "lib/name.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

/// How the targets of one command fared, and the exit code that follows from it.
class Tally {
  public:
    explicit Tally(Session& session) : session_(session) {}

    void success() { ++succeeded_; }
    /// Reports it with `subject` named. NoDaemon is thrown on instead: no other target would fare better.
    void failure(const std::string& subject, const Error& error);
    /// 0, or the code that all failures share when none succeeded, or that of `partial`.
    [[nodiscard]] int exit_code() const;

  private:
    Session& session_;
    int succeeded_ = 0;
    std::set<int> failures_;
};

/// "web, db"
[[nodiscard]] std::string listed(const std::vector<Name>& names);

/// Takes out of `names` those that none of the objects in `there` has, and says so.
template <class T>
void drop_missing(Session& session, const std::string& noun, std::vector<Name>& names,
                  const std::vector<T>& there) {
    std::erase_if(names, [&](const Name& name) {
        const bool missing = std::ranges::find(there, name, &T::name) == there.end();
        if (missing) {
            session.note(noun + " " + name.to_string() + ": does not exist");
        }
        return missing;
    });
}

/// Begins the call for each name, so that they run at the same time, then follows each to its end. `subject`
/// makes "vm web" of a name; the exit code is the session's.
template <Call C, class MakeCall, class OnResult>
void run_for_each(Session& session, const std::string& noun, const std::vector<Name>& names,
                  MakeCall make_call, OnResult on_result) {
    Tally tally(session);
    const auto subject = [&](const Name& name) { return noun + " " + name.to_string(); };
    std::vector<std::pair<Name, Operation>> begun;
    for (const Name& name : names) {
        try {
            const C call = make_call(name);
            begun.emplace_back(name, session.client().begin(call));
        } catch (const Error& error) {
            tally.failure(subject(name), error);
        }
    }
    for (const auto& [name, operation] : begun) {
        try {
            on_result(name, session.follow<typename C::Result>(operation, subject(name)));
            tally.success();
        } catch (const Error& error) {
            tally.failure(subject(name), error);
        }
    }
    session.exit_code = tally.exit_code();
}

/// The results of an action, when data is wanted: one object when one name was given, else a list.
template <class T>
void print_results(Session& session, const std::vector<T>& results, bool single,
                   std::span<const Column<T>> columns) {
    if (!session.wants_data() || (single && results.empty())) {
        return;
    }
    const OutputOptions options = session.output_options();
    if (single && options.format == Format::json) {
        session.out().write(render_object(encode(results.front()), options));
    } else {
        print_list<T>(session.out(), options, results, columns);
    }
}

} // namespace capsul::cli
