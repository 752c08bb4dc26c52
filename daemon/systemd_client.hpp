// The user's systemd, over its private socket. Knows units, no capsul noun.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// Whether an ActiveState is that of a unit that does not run.
[[nodiscard]] inline bool is_stopped(std::string_view active_state) {
    return active_state == "inactive" || active_state == "failed";
}

/// One row of ListUnitsByPatterns (org.freedesktop.systemd1(5)).
struct UnitStatus {
    std::string name;
    std::string active_state; ///< active, inactive, activating, deactivating, failed, reloading
};

/// The last run of a command of a unit's that is not the main one.
struct CommandRun {
    std::uint64_t start_usec = 0; ///< CLOCK_MONOTONIC, microseconds; 0 = never, or before a daemon-reload
    std::int32_t status = 0;      ///< exit status; -1 when it did not end by itself
};

/// What a service's properties say about it now or about its last run.
struct ServiceStatus {
    std::string active_state;
    std::string load_state; ///< loaded, not-found, bad-setting, error, masked
    std::string result;     ///< success, exit-code, signal, core-dump, timeout, start-limit-hit …
    std::string fragment_path;
    std::vector<std::string> drop_in_paths;
    bool need_daemon_reload = false;
    std::int32_t main_pid = 0;
    std::int32_t exec_main_status = 0;
    std::uint64_t active_enter_usec = 0;    ///< CLOCK_REALTIME, microseconds; 0 = never
    std::uint64_t exec_main_start_usec = 0; ///< CLOCK_MONOTONIC, microseconds; 0 = never
    CommandRun exec_reload;                 ///< the last ExecReload= command
    CommandRun exec_stop_post;              ///< and ExecStopPost= command
    std::string syslog_identifier;
};

/// How a job ended: JobRemoved's result.
enum class JobResult { done, canceled, timeout, failed, dependency, skipped };

/// Thread-safe: one thread owns the bus connection, callers wait for it. Reconnects when the manager was
/// re-executed or restarted.
class SystemdClient {
  public:
    /// Called on the client's own thread for every ActiveState change of a unit that matches `pattern`; must
    /// be quick and must not call back into the client.
    using UnitChanged = std::function<void(const UnitStatus&)>;

    /// Whether whoever waits should give up: asked a few times a second.
    using Cancelled = std::function<bool()>;

    /// Connects to `socket` (normally $XDG_RUNTIME_DIR/systemd/private); does not throw when the manager is
    /// away: each call does then (not_capable, with a hint on linger and `systemctl --user`). `pattern` is a
    /// glob such as "capsul-vm-*.service".
    SystemdClient(std::filesystem::path socket, std::string pattern, UnitChanged changed);
    ~SystemdClient();
    SystemdClient(const SystemdClient&) = delete;
    SystemdClient& operator=(const SystemdClient&) = delete;

    /// Queues a start and waits for the job to end; never a daemon-reload. Throws Error: timeout, and
    /// unreachable soon after `cancelled` says so (the job goes on).
    JobResult start(const std::string& unit, std::chrono::milliseconds limit,
                    const Cancelled& cancelled = {});
    /// The same without what the unit requires or wants.
    JobResult start_alone(const std::string& unit, std::chrono::milliseconds limit);
    /// Queues a stop and waits likewise. `done` also when it was not running.
    JobResult stop(const std::string& unit, std::chrono::milliseconds limit, const Cancelled& cancelled = {});
    /// Stops it and forgets that it has failed: it is inactive when this returns. Throws Error: timeout. Not
    /// for a unit whose stop can fail: see script_unit.
    void take_down(const std::string& unit, std::chrono::milliseconds limit);
    /// Runs the ExecReload= of a unit that is up, likewise.
    JobResult reload_unit(const std::string& unit, std::chrono::milliseconds limit);
    /// Sends `signal` to the unit's main process; nothing when it has none.
    void kill(const std::string& unit, int signal);
    /// Forgets a failed state, so that the start limit counts anew.
    void reset_failed(const std::string& unit);
    void reload();
    /// All loaded units that match, in one call.
    [[nodiscard]] std::vector<UnitStatus> list(const std::string& pattern);
    /// A unit that is not loaded and has no file: load_state "not-found", active_state "inactive".
    [[nodiscard]] ServiceStatus status(const std::string& unit);
    /// Waits until the unit is inactive or failed; true when it is, false after `limit`. Never polls systemd.
    /// Throws Error: unreachable soon after `cancelled` says so.
    [[nodiscard]] bool wait_until_stopped(const std::string& unit, std::chrono::milliseconds limit,
                                          const Cancelled& cancelled = {});
    /// The manager's version, "252.39-1~deb12u1".
    [[nodiscard]] std::string version();

  private:
    class Connection;
    std::unique_ptr<Connection> connection_;
};

} // namespace capsul
