// Runs long work, in order where order matters, and tells how it stands.
#pragma once

#include "daemon/router.hpp"
#include "lib/operation.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace capsul {

/// What running work says about itself. Thread-safe.
class Progress {
  public:
    /// Whoever runs the work listens with the two functions and sets `stopping`.
    Progress(std::function<void(const std::string&)> on_message, std::function<void(int)> on_percent,
             const std::atomic<bool>& stopping)
        : on_message_(std::move(on_message)), on_percent_(std::move(on_percent)), stopping_(stopping) {}

    /// What it does or waits for now: a short clause, "waiting for the guest agent".
    void message(const std::string& text) { on_message_(text); }
    void percent(int value) { on_percent_(value); }
    /// True when the daemon is stopping: work that only waits should end with an Error (unreachable).
    [[nodiscard]] bool cancelled() const { return stopping_; }

  private:
    std::function<void(const std::string&)> on_message_;
    std::function<void(int)> on_percent_;
    const std::atomic<bool>& stopping_;
};

/// Thread-safe. Work may block; each piece runs on a thread of its own, at most 128 at once, more wait their
/// turn.
class OperationService {
  public:
    using Work = std::function<Json(Progress&)>;

    OperationService();
    ~OperationService(); ///< stops
    OperationService(const OperationService&) = delete;
    OperationService& operator=(const OperationService&) = delete;

    /// Starts work. Work of one `queue` (such as "vm/web") runs one at a time in the order of submission.
    /// Work of the empty queue runs at once, and leaves half of the threads to the others: so what waits for
    /// guests is never in the way of what acts on them. An Error that it throws becomes the operation's
    /// error; any other exception an internal one. Throws Error (busy) when too much waits already, and
    /// unreachable after stop().
    Operation submit(const std::string& kind, const std::string& target, const std::string& queue, Work work);

    /// Takes no more work, cancels what waits or has not begun, and returns when the rest has ended.
    void stop();

    /// Running ones and the last finished ones (a thousand, fewer if their results are long), oldest first;
    /// without their results.
    [[nodiscard]] std::vector<Operation> list() const;
    [[nodiscard]] Operation show(const Uuid& id) const;
    /// NDJSON: the operation now and after each change, until it has finished.
    [[nodiscard]] StreamResponse follow(const Uuid& id);

  private:
    class State;
    std::shared_ptr<State> state_;
};

} // namespace capsul
