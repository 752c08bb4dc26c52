#include "daemon/systemd_client.hpp"

#include "daemon/systemd_bus.hpp"
#include "daemon/systemd_message.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <fnmatch.h>
#include <future>
#include <systemd/sd-bus.h>

namespace capsul {
namespace {

using std::chrono::milliseconds;
using Call = SystemdBus::Call;
using Failure = SystemdBus::Failure;

constexpr milliseconds call_limit = std::chrono::seconds(30);
constexpr const char* manager_path = "/org/freedesktop/systemd1";
constexpr const char* manager_interface = "org.freedesktop.systemd1.Manager";
constexpr const char* unit_interface = "org.freedesktop.systemd1.Unit";
constexpr const char* properties_interface = "org.freedesktop.DBus.Properties";
constexpr const char* no_such_unit = "org.freedesktop.systemd1.NoSuchUnit";
constexpr const char* no_such_process = "org.freedesktop.systemd1.NoSuchProcess";

bool is_stopped(std::string_view active_state) {
    return active_state == "inactive" || active_state == "failed";
}

template <class... Arguments>
std::function<void(sd_bus_message*)> arguments(const char* types, Arguments... values) {
    const auto raw = [](const auto& value) {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
            return value.c_str();
        } else {
            return value;
        }
    };
    return [=](sd_bus_message* message) {
        check_bus(sd_bus_message_append(message, types, raw(values)...), "a message to systemd");
    };
}

Call manager_call(const char* member, std::function<void(sd_bus_message*)> append = {}) {
    return {manager_path, manager_interface, member, std::move(append), {}, {}};
}

Call get_property(const std::string& path, const char* interface, const char* property) {
    return {path,  properties_interface,
            "Get", arguments("ss", std::string(interface), std::string(property)),
            {},    {}};
}

void ignore_reply(sd_bus_message*) {}

} // namespace

/// What the bus thread knows: the jobs and units that callers wait for, and the last state of each unit to
/// report.
class SystemdClient::Connection {
  public:
    Connection(std::filesystem::path socket, std::string pattern, UnitChanged changed)
        : pattern_(std::move(pattern)), changed_(std::move(changed)),
          bus_(std::move(socket),
               {[this] { on_connected(); },
                [this](const std::string& member, sd_bus_message* message) { on_signal(member, message); }}) {
    }

    JobResult run_job(const char* method, const std::string& unit, milliseconds limit);
    bool wait_until_stopped(const std::string& unit, milliseconds limit);
    /// Sends `call` and waits for what `read` makes of the answer; a D-Bus error in `harmless` is an empty
    /// answer.
    template <class T>
    T ask(Call call, std::function<T(sd_bus_message*)> read, std::vector<std::string> harmless = {});
    /// The same where the answer says nothing.
    void order(Call call, std::vector<std::string> harmless = {});

  private:
    struct Job {
        std::string unit;
        bool starts;
        std::promise<JobResult> result;
    };
    struct StopWaiter {
        std::string unit;
        std::promise<void> stopped;
    };
    using JobPtr = std::shared_ptr<Job>;
    using StopWaiterPtr = std::shared_ptr<StopWaiter>;

    void on_connected();
    void on_signal(const std::string& member, sd_bus_message* message);
    void on_reloading(bool active);
    void on_unit_removed(const std::string& unit);
    void on_job_removed(const systemd_message::JobRemoved& removed);
    void on_properties_changed(sd_bus_message* message);

    void queue_job(const char* method, const JobPtr& job);
    void accept_job(const std::string& path, const JobPtr& job);
    void recheck_job(const std::string& path);
    void settle_lost_job(const std::string& path);
    void start_waiting(const StopWaiterPtr& waiter);
    void recheck_waiter(const StopWaiterPtr& waiter);
    void settle_waiters(const std::string& unit);
    void get_active_state(const std::string& unit, std::function<void(const std::string&)> on_state,
                          std::function<void(const Failure&)> on_failure);
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
    bool has_baseline_ = false;                      ///< states_ has been filled once
    std::map<std::string, std::string> states_;      ///< unit that matches -> last known ActiveState
    std::multimap<std::string, JobPtr> jobs_;        ///< job path -> who waits for it
    int unanswered_jobs_ = 0;                        ///< StartUnit and StopUnit calls in flight
    std::map<std::string, JobResult> early_results_; ///< of jobs that ended before the answer told their path
    std::vector<StopWaiterPtr> stop_waiters_;

    SystemdBus bus_; ///< last: its thread uses all of the above
};

template <class T>
T SystemdClient::Connection::ask(Call call, std::function<T(sd_bus_message*)> read,
                                 std::vector<std::string> harmless) {
    const auto promise = std::make_shared<std::promise<T>>();
    std::future<T> answer = promise->get_future();
    const std::string member = call.member;
    call.on_reply = [promise, read = std::move(read)](sd_bus_message* message) {
        promise->set_value(read(message));
    };
    call.on_failure = [promise, harmless = std::move(harmless)](const Failure& failure) {
        if (std::ranges::find(harmless, failure.name) != harmless.end()) {
            promise->set_value(T{});
        } else {
            promise->set_exception(std::make_exception_ptr(failure.error));
        }
    };
    bus_.post([this, call = std::move(call)] { bus_.call(call); });
    if (answer.wait_for(call_limit) != std::future_status::ready) {
        throw Error(ErrorCode::timeout, "systemd: " + member + ": no answer in time");
    }
    return answer.get();
}

void SystemdClient::Connection::order(Call call, std::vector<std::string> harmless) {
    (void)ask<bool>(
        std::move(call), [](sd_bus_message*) { return true; }, std::move(harmless));
}

// Jobs.

JobResult SystemdClient::Connection::run_job(const char* method, const std::string& unit,
                                             milliseconds limit) {
    const auto job = std::make_shared<Job>(Job{unit, std::string_view(method) == "StartUnit", {}});
    std::future<JobResult> result = job->result.get_future();
    bus_.post([this, method, job] { queue_job(method, job); });
    if (result.wait_for(limit) != std::future_status::ready) {
        throw Error(ErrorCode::timeout,
                    fmt::format("{}: {} not finished after {} ms", unit, job->starts ? "start" : "stop",
                                limit.count()),
                    "it goes on in the background; `systemctl --user status " + unit +
                        "` tells how far it is");
    }
    return result.get();
}

void SystemdClient::Connection::queue_job(const char* method, const JobPtr& job) {
    Call call = manager_call(method, arguments("ss", job->unit, std::string("replace")));
    call.on_reply = [this, job](sd_bus_message* message) {
        accept_job(systemd_message::read_object_path(message), job);
    };
    call.on_failure = [this, job](const Failure& failure) {
        --unanswered_jobs_;
        if (!job->starts && failure.name == no_such_unit) {
            job->result.set_value(JobResult::done); // what is not there does not run
        } else {
            job->result.set_exception(std::make_exception_ptr(failure.error));
        }
    };
    ++unanswered_jobs_;
    bus_.call(std::move(call));
}

void SystemdClient::Connection::accept_job(const std::string& path, const JobPtr& job) {
    --unanswered_jobs_;
    const auto early = early_results_.find(path);
    if (early != early_results_.end()) {
        job->result.set_value(early->second);
    } else {
        jobs_.emplace(path, job);
    }
    if (unanswered_jobs_ == 0) {
        early_results_.clear();
    }
}

void SystemdClient::Connection::on_job_removed(const systemd_message::JobRemoved& removed) {
    const auto [first, last] = jobs_.equal_range(removed.path);
    for (auto waiting = first; waiting != last; ++waiting) {
        waiting->second->result.set_value(removed.result);
    }
    jobs_.erase(first, last);
    if (unanswered_jobs_ > 0) {
        early_results_.insert_or_assign(removed.path, removed.result);
    }
}

/// After a reconnection: has the job ended meanwhile?
void SystemdClient::Connection::recheck_job(const std::string& path) {
    std::uint32_t id = 0;
    const std::string digits = path.substr(path.rfind('/') + 1);
    std::from_chars(digits.data(), digits.data() + digits.size(), id);
    Call call = manager_call("GetJob", arguments("u", id));
    call.on_reply = ignore_reply; // JobRemoved is still to come
    call.on_failure = [this, path](const Failure&) { settle_lost_job(path); };
    bus_.call(std::move(call));
}

/// Its JobRemoved was missed: the unit's state tells how it ended.
void SystemdClient::Connection::settle_lost_job(const std::string& path) {
    const auto [first, last] = jobs_.equal_range(path);
    for (auto waiting = first; waiting != last; ++waiting) {
        const JobPtr job = waiting->second;
        get_active_state(
            job->unit,
            [job](const std::string& state) {
                job->result.set_value(is_stopped(state) != job->starts ? JobResult::done : JobResult::failed);
            },
            [job](const Failure& failure) {
                job->result.set_exception(std::make_exception_ptr(failure.error));
            });
    }
    jobs_.erase(first, last);
}

// Waiting for a unit's end.

bool SystemdClient::Connection::wait_until_stopped(const std::string& unit, milliseconds limit) {
    const auto waiter = std::make_shared<StopWaiter>(StopWaiter{unit, {}});
    std::future<void> stopped = waiter->stopped.get_future();
    bus_.post([this, waiter] { start_waiting(waiter); });
    if (stopped.wait_for(limit) == std::future_status::ready) {
        stopped.get();
        return true;
    }
    bus_.post([this, waiter] { std::erase(stop_waiters_, waiter); });
    return false;
}

/// Waits first and asks then, so that an end between the two is not missed.
void SystemdClient::Connection::start_waiting(const StopWaiterPtr& waiter) {
    stop_waiters_.push_back(waiter);
    recheck_waiter(waiter);
}

void SystemdClient::Connection::recheck_waiter(const StopWaiterPtr& waiter) {
    get_active_state(
        waiter->unit,
        [this, waiter](const std::string& state) {
            if (is_stopped(state) && !reloading_) {
                settle_waiters(waiter->unit);
            }
        },
        [this, waiter](const Failure& failure) {
            if (std::erase(stop_waiters_, waiter) > 0) {
                waiter->stopped.set_exception(std::make_exception_ptr(failure.error));
            }
        });
}

void SystemdClient::Connection::settle_waiters(const std::string& unit) {
    for (const StopWaiterPtr& waiter : stop_waiters_) {
        if (waiter->unit == unit) {
            waiter->stopped.set_value();
        }
    }
    std::erase_if(stop_waiters_, [&](const StopWaiterPtr& waiter) { return waiter->unit == unit; });
}

void SystemdClient::Connection::get_active_state(const std::string& unit,
                                                 std::function<void(const std::string&)> on_state,
                                                 std::function<void(const Failure&)> on_failure) {
    Call call = get_property(systemd_message::unit_path(unit), unit_interface, "ActiveState");
    call.on_reply = [on_state = std::move(on_state)](sd_bus_message* message) {
        on_state(systemd_message::read_string_variant(message));
    };
    call.on_failure = std::move(on_failure);
    bus_.call(std::move(call));
}

// Following the units' states.

void SystemdClient::Connection::on_connected() {
    reloading_ = false;
    Call subscribe = manager_call("Subscribe");
    subscribe.on_reply = ignore_reply;
    subscribe.on_failure = [](const Failure&) {}; // a peer-to-peer connection gets all signals anyway
    subscribe.repeatable = false;
    bus_.call(std::move(subscribe));
    resynchronise();
}

/// Learns what was missed: while there was no connection, or while a reload took all units away and brought
/// them back.
void SystemdClient::Connection::resynchronise() {
    Call list = manager_call("ListUnitsByPatterns", arguments("asas", 0, 1, pattern_));
    list.on_reply = [this](sd_bus_message* message) { compare(systemd_message::read_unit_list(message)); };
    list.on_failure = [](const Failure&) {};
    list.repeatable = false;
    bus_.call(std::move(list));
    for (auto job = jobs_.begin(); job != jobs_.end(); job = jobs_.upper_bound(job->first)) {
        recheck_job(job->first);
    }
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
        on_job_removed(systemd_message::read_job_removed(message));
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
        report({unit, "inactive", "dead"});
        states_.erase(unit);
    }
    settle_waiters(unit);
}

void SystemdClient::Connection::report(const UnitStatus& unit) {
    if (!matches(unit.name) || std::exchange(states_[unit.name], unit.active_state) == unit.active_state) {
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

JobResult SystemdClient::start(const std::string& unit, milliseconds limit) {
    return connection_->run_job("StartUnit", unit, limit);
}

JobResult SystemdClient::stop(const std::string& unit, milliseconds limit) {
    return connection_->run_job("StopUnit", unit, limit);
}

void SystemdClient::kill(const std::string& unit, int signal) {
    Call call = manager_call("KillUnit", arguments("ssi", unit, std::string("main"), signal));
    call.repeatable = false; // a signal sent twice is not the same
    connection_->order(std::move(call), {no_such_unit, no_such_process});
}

void SystemdClient::reset_failed(const std::string& unit) {
    connection_->order(manager_call("ResetFailedUnit", arguments("s", unit)), {no_such_unit});
}

void SystemdClient::reload() {
    connection_->order(manager_call("Reload"));
}

std::vector<UnitStatus> SystemdClient::list(const std::string& pattern) {
    return connection_->ask<std::vector<UnitStatus>>(
        manager_call("ListUnitsByPatterns", arguments("asas", 0, 1, pattern)),
        systemd_message::read_unit_list);
}

ServiceStatus SystemdClient::status(const std::string& unit) {
    Call call{systemd_message::unit_path(unit),
              properties_interface,
              "GetAll",
              arguments("s", std::string()),
              {},
              {}};
    return connection_->ask<ServiceStatus>(std::move(call), systemd_message::read_service_status);
}

bool SystemdClient::wait_until_stopped(const std::string& unit, milliseconds limit) {
    return connection_->wait_until_stopped(unit, limit);
}

std::string SystemdClient::version() {
    return connection_->ask<std::string>(get_property(manager_path, manager_interface, "Version"),
                                         systemd_message::read_string_variant);
}

} // namespace capsul
