// The peer-to-peer D-Bus connection to a systemd manager: one thread that owns it, and makes it again when
// the manager went away and came back. Knows how to carry calls and signals, not what they mean.
#pragma once

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct sd_bus;
struct sd_bus_message;
struct sd_bus_slot;

namespace capsul {

/// Throws Error with errno `-result` when an sd-bus function failed.
void check_bus(int result, const std::string& what);

class SystemdBus {
  public:
    /// How a call failed: D-Bus error name (empty when none came back) beside what a person is told.
    struct Failure {
        std::string name;
        Error error;
    };

    /// A method call and what becomes of it: exactly one of the two is called, on the bus thread.
    struct Call {
        std::string path;
        std::string interface;
        std::string member;
        std::function<void(sd_bus_message*)> append;   ///< writes the arguments; may be empty
        std::function<void(sd_bus_message*)> on_reply; ///< may throw Error: goes to on_failure
        std::function<void(const Failure&)> on_failure;
        bool repeatable = true; ///< may be sent again when the connection broke before the answer
    };

    /// All are called on the bus thread.
    struct Listener {
        std::function<void()> on_connected; ///< each time, before anything that waited is sent
        std::function<void(const std::string& member, sd_bus_message*)> on_signal;
    };

    SystemdBus(std::filesystem::path socket, Listener listener);
    ~SystemdBus();
    SystemdBus(const SystemdBus&) = delete;
    SystemdBus& operator=(const SystemdBus&) = delete;

    /// Runs `task` on the bus thread soon. From any thread.
    void post(std::function<void()> task);
    /// Sends now or when connected again; fails when the manager stays away. On the bus thread only.
    void call(Call call);

  private:
    using Clock = std::chrono::steady_clock;
    struct BusClose {
        void operator()(sd_bus* bus) const noexcept;
    };
    struct SlotUnref {
        void operator()(sd_bus_slot* slot) const noexcept;
    };
    struct Flight {
        SystemdBus* bus = nullptr;
        Call call;
        std::unique_ptr<sd_bus_slot, SlotUnref> slot;
        std::list<Flight>::iterator self;
    };

    struct Callbacks; ///< what sd-bus calls
    void handle_answer(Flight& flight, sd_bus_message* message);
    void handle_signal(sd_bus_message* message);
    void run();
    void run_tasks();
    void keep_connected();
    void connect();
    void disconnect() noexcept;
    void process();
    void wait_for_work() const;
    void send(Call call);
    void send_waiting();
    void fail_waiting(const Error& error);
    [[nodiscard]] bool may_come_back() const;

    const std::filesystem::path socket_;
    const Listener listener_;
    const UniqueFd wake_;

    std::mutex mutex_; ///< of the two below
    std::vector<std::function<void()>> tasks_;
    bool stopping_ = false;

    // Of the bus thread only.
    std::unique_ptr<sd_bus, BusClose> bus_;
    std::list<Flight> flights_; ///< sent, not answered
    std::list<Call> waiting_;   ///< not sent
    Error last_failure_;
    bool heard_ = false; ///< this connection has brought a message: a manager is there
    std::optional<Clock::time_point> last_alive_; ///< when a connection that was heard broke
    Clock::time_point next_attempt_{};
    std::chrono::milliseconds pause_{};

    std::thread thread_; ///< last: it uses all of the above
};

} // namespace capsul
