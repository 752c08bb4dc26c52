// operation and events: what capsuld does, and what has happened.
#include "lib/operation.hpp"
#include "cli/commands.hpp"
#include "cli/terminal.hpp"

#include <array>
#include <charconv>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

Style operation_style(const Operation& operation) {
    switch (operation.state) {
    case OperationState::done:
        return Style::good;
    case OperationState::failed:
        return Style::bad;
    case OperationState::queued:
    case OperationState::running:
        break;
    }
    return Style::changing;
}

std::string percent_text(const Operation& operation) {
    return operation.percent ? fmt::format("{} %", *operation.percent) : "";
}

std::string percent_number(const Operation& operation) {
    return operation.percent ? std::to_string(*operation.percent) : "";
}

constexpr std::array<Column<Operation>, 8> operation_columns{{
    {"id", [](const Operation& operation) { return operation.id.to_string(); }},
    {"kind", [](const Operation& operation) { return operation.kind; }},
    {"target", [](const Operation& operation) { return operation.target; }},
    {"state", [](const Operation& operation) { return std::string(to_string(operation.state)); },
     Shown::always, false, operation_style},
    {"percent", percent_text, Shown::filled, true, nullptr, percent_number},
    {"created", [](const Operation& operation) { return operation.created.to_string(); }},
    {"message", [](const Operation& operation) { return operation.message; }, Shown::filled},
    {"error",
     [](const Operation& operation) { return operation.error ? operation.error->title : std::string(); },
     Shown::filled},
}};

std::string render_operation(const Operation& operation, const OutputOptions& options) {
    return render_lines({{"ID", operation.id.to_string()},
                         {"Kind", operation.kind},
                         {"Target", operation.target},
                         {"State", std::string(to_string(operation.state)), operation_style(operation)},
                         {"Percent", percent_text(operation)},
                         {"Created", operation.created.to_string()},
                         {"Message", operation.message},
                         {"Error", operation.error ? operation.error->title : ""},
                         {"Hint", operation.error ? operation.error->hint : ""}},
                        options);
}

std::string data_text(const Event& event) {
    return event.data.empty() ? "" : dump_json(event.data);
}

constexpr std::array<Column<Event>, 5> event_columns{{
    {"id", [](const Event& event) { return std::to_string(event.id); }, Shown::always, true},
    {"time", [](const Event& event) { return event.time.to_string(); }},
    {"type", [](const Event& event) { return event.type; }},
    {"target", [](const Event& event) { return event.target; }},
    {"data", data_text, Shown::filled},
}};

struct EventFlags {
    std::string since;
    bool follow = false;
};

EventList event_call(const EventFlags& flags) {
    EventList call;
    call.follow = flags.follow;
    if (!flags.since.empty()) {
        std::uint64_t id = 0;
        const char* end = flags.since.data() + flags.since.size();
        const auto [stopped, failure] = std::from_chars(flags.since.data(), end, id);
        if (failure != std::errc{} || stopped != end) {
            throw Error(ErrorCode::invalid,
                        fmt::format("--since: '{}' is not the id of an event", flags.since),
                        "`capsulctl events` lists them with their ids");
        }
        call.since = id;
    }
    return call;
}

/// As each comes: nobody knows how wide the next will be.
void print_event_now(Session& session, const Event& event, const OutputOptions& options) {
    if (options.format == Format::json || options.format == Format::jsonl) {
        session.out().write(render_json(encode(event), options, -1));
    } else if (options.columns.empty() &&
               (options.format == Format::table || options.format == Format::wide)) {
        session.out().write(
            printable(fmt::format("{:>6}  {}  {:<20}  {:<20}  {}", event.id, event.time.to_string(),
                                  event.type, event.target, data_text(event))) +
            '\n');
    } else {
        OutputOptions bare = options;
        bare.headings = false;
        print_list<Event>(session.out(), bare, {event}, event_columns);
    }
    session.out().flush();
}

/// Hands each line of a stream that comes in pieces to `take`.
class Lines {
  public:
    template <class Take>
    void feed(std::string_view piece, const Take& take) {
        pending_ += piece;
        for (auto end = pending_.find('\n'); end != std::string::npos; end = pending_.find('\n')) {
            take(std::string_view(pending_).substr(0, end));
            pending_.erase(0, end + 1);
        }
    }

  private:
    std::string pending_;
};

void events(Session& session, const EventFlags& flags) {
    const OutputOptions options = session.output_options();
    std::vector<Event> all;
    Lines lines;
    session.client().stream(event_call(flags), [&](std::string_view piece) {
        lines.feed(piece, [&](std::string_view line) {
            auto event = decode_answer<Event>(Json::parse(line, nullptr, false));
            if (flags.follow) {
                print_event_now(session, event, options);
            } else {
                all.push_back(std::move(event));
            }
        });
        return !session.out().reader_gone();
    });
    if (!flags.follow) {
        print_list<Event>(session.out(), options, all, event_columns);
    }
}

} // namespace

void add_operation_commands(CLI::App& program, Session& session) {
    CLI::App& group = add_command(program, "operation", "See the long work that capsuld does or has done",
                                  "capsulctl operation list");
    CLI::App& list = add_command(group, "list", "List operations, oldest first",
                                 "capsulctl operation list --json | jq '.[] | select(.state == \"failed\")'");
    prints_table<Operation>(session, list, operation_columns);
    list.callback([&session] {
        print_list<Operation>(session.out(), session.output_options(), session.client().call(OperationList{}),
                              operation_columns);
    });
    CLI::App& show = add_command(group, "show", "Show an operation",
                                 "capsulctl operation show 6f1c1f0e-3f0e-4a57-9d0c-2f7b7f0f5c1a");
    auto id = std::make_shared<std::string>();
    show.add_option("ID", *id, "Its id")->required()->type_name("ID");
    prints_table<Operation>(session, show, operation_columns);
    show.callback([&session, id] {
        const Operation operation = session.client().call(OperationShow{parse_option<Uuid>("ID", *id)});
        print_one<Operation>(session.out(), session.output_options(), operation, operation_columns,
                             render_operation);
    });

    CLI::App& event = add_command(program, "events", "Show what has happened; with -f, as it happens",
                                  "capsulctl events\n"
                                  "capsulctl events -f --json | jq -r '.type + \" \" + .target'\n"
                                  "capsulctl events --since 120    # those after event 120");
    auto flags = std::make_shared<EventFlags>();
    event.add_option("--since", flags->since, "Only events after this one")->type_name("ID");
    event.add_flag("-f,--follow", flags->follow, "Go on with events as they happen");
    prints_table<Event>(session, event, event_columns);
    event.callback([&session, flags] { events(session, *flags); });
}

} // namespace capsul::cli
