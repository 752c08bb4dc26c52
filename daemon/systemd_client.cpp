#include "daemon/systemd_client.hpp"

#include "daemon/outcome.hpp"
#include "daemon/systemd_bus.hpp"
#include "daemon/systemd_call.hpp"
#include "daemon/systemd_jobs.hpp"
#include "daemon/systemd_message.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fnmatch.h>

namespace capsul {
namespace {

using std::chrono::milliseconds;
using BusCall = SystemdBus::Call;
using Failure = SystemdBus::Failure;

constexpr milliseconds call_limit = std::chrono::seconds(30);

} // namespace

/// What the bus thread knows: what callers wait for, and the last state of each unit to
/// report.
class SystemdClient::Connection {
  public:
    Connection(std::filesystem::path socket, std::string pattern, UnitChanged changed)
        : pattern_(std::move(pattern)), changed_(std::move(changed)),
          bus_(std::move(socket),
               {[this] { on_connected(); },
                [this](const std::string& member, sd_bus_message* message) { on_signal(member, message); }}) {
    }

    JobResult run_job(const char* method, const std::string& unit, milliseconds limit,
                      const Cancelled& cancelled, const char* mode = "replace");
    bool wait_until_stopped(const std::string& unit, milliseconds limit, const Cancelled& cancelled);
    /// Sends `call` and waits for what `read` makes of the answer; a D-Bus error in `harmless` is an empty
    /// answer.
    template <class T>
    T ask(BusCall call, std::function<T(sd_bus_message*)> read, std::vector<std::string> harmless = {});
    /// The same where the answer says nothing.
    void order(BusCall call, std::vector<std::string> harmless = {});

  private:
    struct StopWaiter {
        std::string unit;
        Outcome<bool> stopped;
    };
    using StopWaiterPtr = std::shared_ptr<StopWaiter>;

    void on_connected();
    void on_signal(const std::string& member, sd_bus_message* message);
    void on_reloading(bool active);
    void on_unit_removed(const std::string& unit);
    void on_properties_changed(sd_bus_message* message);

    void start_waiting(const StopWaiterPtr& waiter);
    void recheck_waiter(const StopWaiterPtr& waiter);
    void settle_waiters(const std::string& unit);
    void resynchronise();
    void compare(const std::vector<UnitStatus>& now);
    void report(const UnitStatus& unit);
    [[nodiscard]] bool is_interesting(const std::string& unit) const;
    [[nodiscard]] bool matches(const std::string& unit) const {
        return ::fnmatch(pattern_.c_str(), unit.c_str(), FNM_NOESCAPE) == 0;
    }

    const std::string pattern_;
    const UnitChanged changed_;

    // Of the bus thread only.
    bool reloading_ = false;
    bool has_baseline_ = false;                 ///< states_ has been filled once
    std::map<std::string, std::string> states_; ///< unit that matches -> last known ActiveState
    SystemdJobs jobs_{bus_};
    std::vector<StopWaiterPtr> stop_waiters_;

    SystemdBus bus_; ///< last: its thread uses all of the above
};

template <class T>
T SystemdClient::Connection::ask(BusCall call, std::function<T(sd_bus_message*)> read,
                                 std::vector<std::string> harmless) {
    const auto answer = std::make_shared<Outcome<T>>();
    const std::string member = call.member;
    call.on_reply = [answer, read = std::move(read)](sd_bus_message* message) { answer->set(read(message)); };
    call.on_failure = [answer, harmless = std::move(harmless)](const Failure& failure) {
        if (std::ranges::find(harmless, failure.name) != harmless.end()) {
            answer->set(T{});
        } else {
            answer->fail(failure.error);
        }
    };
    bus_.post([this, call = std::move(call)] { bus_.call(call); });
    if (std::optional<T> value = answer->wait(call_limit)) {
        return std::move(*value);
    }
    throw Error(ErrorCode::timeout, "systemd: " + member + ": no answer in time");
}

void SystemdClient::Connection::order(BusCall call, std::vector<std::string> harmless) {
    (void)ask<bool>(
        std::move(call), [](sd_bus_message*) { return true; }, std::move(harmless));
}

JobResult SystemdClient::Connection::run_job(const char* method, const std::string& unit, milliseconds limit,
                                             const Cancelled& cancelled, const char* mode) {
    const auto job = std::make_shared<SystemdJobs::Job>();
    job->unit = unit;
    job->method = method;
    job->mode = mode;
    bus_.post([this, job] { jobs_.queue(job); });
    if (const std::optional<JobResult> result = job->result.wait(limit, cancelled)) {
        return *result;
    }
    throw Error(ErrorCode::timeout,
                fmt::format("{}: {} not finished after {} ms", unit, method, limit.count()),
                "it goes on in the background; `systemctl --user status " + unit + "` tells how far it is");
}

// Waiting for a unit's end.

bool SystemdClient::Connection::wait_until_stopped(const std::string& unit, milliseconds limit,
                                                   const Cancelled& cancelled) {
    const auto waiter = std::make_shared<StopWaiter>();
    waiter->unit = unit;
    bus_.post([this, waiter] { start_waiting(waiter); });
    const auto forget = [&] { bus_.post([this, waiter] { std::erase(stop_waiters_, waiter); }); };
    try {
        if (waiter->stopped.wait(limit, cancelled)) {
            return true;
        }
    } catch (const Error&) {
        forget();
        throw;
    }
    forget();
    return false;
}

/// Waits first and asks then, so that an end between the two is not missed.
void SystemdClient::Connection::start_waiting(const StopWaiterPtr& waiter) {
    stop_waiters_.push_back(waiter);
    recheck_waiter(waiter);
}

void SystemdClient::Connection::recheck_waiter(const StopWaiterPtr& waiter) {
    systemd_call::get_active_state(
        bus_, waiter->unit,
        [this, waiter](const std::string& state) {
            if (is_stopped(state) && !reloading_) {
                settle_waiters(waiter->unit);
            }
        },
        [this, waiter](const Failure& failure) {
            if (std::erase(stop_waiters_, waiter) > 0) {
                waiter->stopped.fail(failure.error);
            }
        });
}

void SystemdClient::Connection::settle_waiters(const std::string& unit) {
    for (const StopWaiterPtr& waiter : stop_waiters_) {
        if (waiter->unit == unit) {
            waiter->stopped.set(true);
        }
    }
    std::erase_if(stop_waiters_, [&](const StopWaiterPtr& waiter) { return waiter->unit == unit; });
}

// Following the units' states.

void SystemdClient::Connection::on_connected() {
    reloading_ = false;
    BusCall subscribe = systemd_call::manager("Subscribe");
    subscribe.on_reply = systemd_call::ignore_reply;
    subscribe.on_failure = [](const Failure&) {}; // a peer-to-peer connection gets all signals anyway
    subscribe.repeatable = false;
    bus_.call(std::move(subscribe));
    resynchronise();
}

/// Learns what was missed: while there was no connection, or while a reload took all units away and brought
/// them back.
void SystemdClient::Connection::resynchronise() {
    BusCall list =
        systemd_call::manager("ListUnitsByPatterns", systemd_call::arguments("asas", 0, 1, pattern_));
    list.on_reply = [this](sd_bus_message* message) { compare(systemd_message::read_unit_list(message)); };
    list.on_failure = [](const Failure&) {};
    list.repeatable = false;
    bus_.call(std::move(list));
    jobs_.recheck_all();
    for (const StopWaiterPtr& waiter : stop_waiters_) {
        recheck_waiter(waiter);
    }
}

void SystemdClient::Connection::compare(const std::vector<UnitStatus>& now) {
    std::map<std::string, std::string> gone = states_;
    const bool first = !std::exchange(has_baseline_, true);
    for (const UnitStatus& unit : now) {
        gone.erase(unit.name);
        if (first) {
            states_.emplace(unit.name, unit.active_state);
        } else {
            report(unit);
        }
    }
    for (const auto& [unit, state] : gone) {
        on_unit_removed(unit);
    }
}

void SystemdClient::Connection::on_signal(const std::string& member, sd_bus_message* message) {
    if (member == "JobRemoved") {
        jobs_.on_removed(systemd_message::read_job_removed(message));
    } else if (member == "Reloading") {
        on_reloading(systemd_message::read_boolean(message));
    } else if (member == "UnitRemoved" && !reloading_) {
        on_unit_removed(systemd_message::read_string(message));
    } else if (member == "PropertiesChanged" && !reloading_) {
        on_properties_changed(message);
    }
}

/// A reload removes every unit and loads it again: what the signals between say is not true of the units.
void SystemdClient::Connection::on_reloading(bool active) {
    reloading_ = active;
    if (!active) {
        resynchronise();
    }
}

void SystemdClient::Connection::on_properties_changed(sd_bus_message* message) {
    const auto unit = systemd_message::unit_of_path(sd_bus_message_get_path(message));
    if (!unit || !is_interesting(*unit)) {
        return;
    }
    if (const auto change = systemd_message::read_state_change(message, *unit)) {
        report(*change);
        if (is_stopped(change->active_state)) {
            settle_waiters(*unit);
        }
    }
}

/// systemd forgets a unit that is not running and that nothing refers to.
void SystemdClient::Connection::on_unit_removed(const std::string& unit) {
    if (states_.contains(unit)) {
        report({unit, "inactive"});
        states_.erase(unit);
    }
    settle_waiters(unit);
}

void SystemdClient::Connection::report(const UnitStatus& unit) {
    if (!matches(unit.name)) {
        return;
    }
    std::string& known = states_.try_emplace(unit.name, "inactive").first->second; // as is what is not loaded
    if (std::exchange(known, unit.active_state) == unit.active_state) {
        return;
    }
    try {
        changed_(unit);
    } catch (const std::exception&) {
        // The listener's failure must not keep others from learning of the change.
    }
}

bool SystemdClient::Connection::is_interesting(const std::string& unit) const {
    return matches(unit) || std::ranges::any_of(stop_waiters_, [&](const StopWaiterPtr& waiter) {
               return waiter->unit == unit;
           });
}

// The calls.

SystemdClient::SystemdClient(std::filesystem::path socket, std::string pattern, UnitChanged changed)
    : connection_(std::make_unique<Connection>(std::move(socket), std::move(pattern), std::move(changed))) {}

SystemdClient::~SystemdClient() = default;

JobResult SystemdClient::start(const std::string& unit, milliseconds limit, const Cancelled& cancelled) {
    return connection_->run_job("StartUnit", unit, limit, cancelled);
}

JobResult SystemdClient::start_alone(const std::string& unit, milliseconds limit) {
    return connection_->run_job("StartUnit", unit, limit, {}, "ignore-requirements");
}

JobResult SystemdClient::reload_unit(const std::string& unit, milliseconds limit) {
    return connection_->run_job("ReloadUnit", unit, limit, {});
}

JobResult SystemdClient::stop(const std::string& unit, milliseconds limit, const Cancelled& cancelled) {
    return connection_->run_job("StopUnit", unit, limit, cancelled);
}

void SystemdClient::take_down(const std::string& unit, milliseconds limit) {
    if (status(unit).active_state == "inactive") {
        return;
    }
    stop(unit, limit);
    if (status(unit).active_state == "failed") {
        reset_failed(unit);
    }
}

void SystemdClient::kill(const std::string& unit, int signal) {
    BusCall call =
        systemd_call::manager("KillUnit", systemd_call::arguments("ssi", unit, std::string("main"), signal));
    call.repeatable = false; // a signal sent twice is not the same
    connection_->order(std::move(call), {systemd_call::no_such_unit, systemd_call::no_such_process});
}

void SystemdClient::reset_failed(const std::string& unit) {
    connection_->order(systemd_call::manager("ResetFailedUnit", systemd_call::arguments("s", unit)),
                       {systemd_call::no_such_unit});
}

void SystemdClient::reload() {
    connection_->order(systemd_call::manager("Reload"));
}

std::vector<UnitStatus> SystemdClient::list(const std::string& pattern) {
    return connection_->ask<std::vector<UnitStatus>>(
        systemd_call::manager("ListUnitsByPatterns", systemd_call::arguments("asas", 0, 1, pattern)),
        systemd_message::read_unit_list);
}

ServiceStatus SystemdClient::status(const std::string& unit) {
    BusCall call{systemd_message::unit_path(unit),
                 systemd_call::properties_interface,
                 "GetAll",
                 systemd_call::arguments("s", std::string()),
                 {},
                 {}};
    return connection_->ask<ServiceStatus>(std::move(call), systemd_message::read_service_status);
}

bool SystemdClient::wait_until_stopped(const std::string& unit, milliseconds limit,
                                       const Cancelled& cancelled) {
    return connection_->wait_until_stopped(unit, limit, cancelled);
}

std::string SystemdClient::version() {
    return connection_->ask<std::string>(
        systemd_call::get_property(systemd_call::manager_path, systemd_call::manager_interface, "Version"),
        systemd_message::read_string_variant);
}

} // namespace capsul
