// Long work: started by a call, followed by its id. And the events that tell what happened.
#pragma once

#include "lib/mac.hpp"
#include "lib/route.hpp"
#include "lib/size.hpp"

#include <array>
#include <optional>
#include <string>

namespace capsul {

enum class OperationState { queued, running, done, failed };
template <>
struct EnumWords<OperationState> {
    static constexpr std::array<std::pair<OperationState, std::string_view>, 4> words{
        {{OperationState::queued, "queued"},
         {OperationState::running, "running"},
         {OperationState::done, "done"},
         {OperationState::failed, "failed"}}};
};

/// An error on the wire: RFC 9457 (application/problem+json) with our code and hint.
struct Problem {
    std::string title; ///< the sentence
    unsigned status = 500;
    std::string code;
    std::string hint;

    static constexpr auto fields() {
        return field_list(required("title", &Problem::title), required("status", &Problem::status),
                          required("code", &Problem::code), optional("hint", &Problem::hint));
    }
    [[nodiscard]] static Problem from(const Error& error);
    [[nodiscard]] Error to_error() const;
};

/// Long work, as it stands.
struct Operation {
    Uuid id;
    std::string kind;   ///< "vm.start"
    std::string target; ///< the object's name
    OperationState state = OperationState::queued;
    Timestamp created;
    std::string message;          ///< what it is doing or waiting for now
    std::optional<int> percent;   ///< 0 to 100 when known
    std::optional<Json> result;   ///< of the call, once done; not in a list
    std::optional<Problem> error; ///< once failed

    static constexpr auto fields() {
        return field_list(required("id", &Operation::id), required("kind", &Operation::kind),
                          required("target", &Operation::target), required("state", &Operation::state),
                          required("created", &Operation::created), optional("message", &Operation::message),
                          optional("percent", &Operation::percent), optional("result", &Operation::result),
                          optional("error", &Operation::error));
    }
    [[nodiscard]] bool finished() const {
        return state == OperationState::done || state == OperationState::failed;
    }
};

struct OperationList {
    using Result = std::vector<Operation>;
    static constexpr Route route{Method::get, "/v1/operations", Answer::value};
    static constexpr auto fields() { return field_list(); }
};

struct OperationShow {
    Uuid id;
    using Result = Operation;
    static constexpr Route route{Method::get, "/v1/operations/{id}", Answer::value};
    static constexpr auto fields() { return field_list(required("id", &OperationShow::id)); }
};

/// Streams the operation as NDJSON, a line whenever it changes, the last one finished.
struct OperationFollow {
    Uuid id;
    static constexpr Route route{Method::get, "/v1/operations/{id}/follow", Answer::stream};
    static constexpr auto fields() { return field_list(required("id", &OperationFollow::id)); }
};

/// Something that happened.
struct Event {
    std::uint64_t id = 0; ///< grows by one from event to event, also over a restart of the daemon
    Timestamp time;
    std::string type; ///< "vm.started", "vm.stopped", "image.imported" …
    std::string target;
    Json data = Json::object();

    static constexpr auto fields() {
        return field_list(required("id", &Event::id), required("time", &Event::time),
                          required("type", &Event::type), required("target", &Event::target),
                          optional("data", &Event::data));
    }
};

/// Streams events as NDJSON: those after `since` that are still kept, then, with `follow`, new ones as they
/// happen. A gap (older events are gone, or this reader was too slow) shows as an event of type "gap".
struct EventList {
    std::optional<std::uint64_t> since;
    bool follow = false;
    static constexpr Route route{Method::get, "/v1/events", Answer::stream};
    static constexpr auto fields() {
        return field_list(optional("since", &EventList::since), optional("follow", &EventList::follow));
    }
};

} // namespace capsul
