// What happened, kept for whoever asks later and told to whoever listens now.
#pragma once

#include "daemon/router.hpp"
#include "lib/operation.hpp"

#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace capsul {

/// Thread-safe. Events are appended to FOLDER/events.ndjson (kept to the newest few thousand), so that ids go
/// on over a restart and a reader can resume. Failing to write the file never fails the caller.
class EventLog {
  public:
    /// Told of each event, after it has got its id; quick.
    using OnEvent = std::function<void(const std::string& type, const std::string& target)>;

    explicit EventLog(const std::filesystem::path& folder, OnEvent on_event = {});
    ~EventLog();
    EventLog(const EventLog&) = delete;
    EventLog& operator=(const EventLog&) = delete;

    void add(const std::string& type, const std::string& target, Json data = Json::object());

    /// NDJSON; see EventList. A reader that does not read is dropped, with a last event of type "gap" where
    /// possible.
    [[nodiscard]] StreamResponse stream(const EventList& wanted);

  private:
    class State;
    std::shared_ptr<State> state_;
    OnEvent on_event_;
};

} // namespace capsul
