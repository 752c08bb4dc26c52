// The QMP connections to the running VMs: one each, kept, so that commands are quick and a pause is known
// without asking.
#pragma once

#include "daemon/event_log.hpp"
#include "daemon/qmp_client.hpp"
#include "lib/paths.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

namespace capsul {

/// Thread-safe.
class VmMonitors {
  public:
    VmMonitors(const Paths& paths, EventLog& events);
    ~VmMonitors();
    VmMonitors(const VmMonitors&) = delete;
    VmMonitors& operator=(const VmMonitors&) = delete;

    /// The VM's unit has changed, as systemd says: on "active" connects in the background, on its end forgets
    /// the connection; both are events. Quick.
    void unit_changed(const Name& name, const std::string& active_state);
    /// The VM's unit is active already: connects in the background.
    void adopt(const Name& name);
    /// How often the VM's unit has ended since this daemon started.
    [[nodiscard]] unsigned endings(const Name& name) const;
    /// How often its guest has shut itself down since then, as QEMU says: what tells a graceful stop.
    [[nodiscard]] unsigned guest_shutdowns(const Name& name) const;

    /// The connection; connects and waits for QEMU up to `limit` where need be. See QmpClient for `cancelled`
    /// and errors.
    [[nodiscard]] std::shared_ptr<QmpClient> connection(const Name& name, std::chrono::milliseconds limit,
                                                        const std::function<bool()>& cancelled = {});
    /// Whether QEMU has said that the guest's CPUs are stopped. Never waits.
    [[nodiscard]] bool paused(const Name& name) const;
    /// What a command that was just answered has made of it. An event when that is new.
    void set_paused(const Name& name, bool paused);

  private:
    using Clock = std::chrono::steady_clock;
    struct Monitor {
        std::mutex connecting;
        std::shared_ptr<QmpClient> client; ///< guarded by connecting
        std::atomic<bool> paused = false;
        std::atomic<unsigned> said = 0; ///< how often somebody has said whether it is paused
        std::mutex telling;             ///< of all below, and of changes of the two above
        std::chrono::time_point<Clock, std::chrono::seconds> second;
        int told = 0; ///< events in that second
    };
    [[nodiscard]] std::shared_ptr<Monitor> monitor(const Name& name);
    [[nodiscard]] std::shared_ptr<QmpClient> connect(const Name& name,
                                                     const std::shared_ptr<Monitor>& monitor,
                                                     std::chrono::milliseconds limit,
                                                     const std::function<bool()>& cancelled);
    void attach_waiting(const std::stop_token& stop);
    void attach(const Name& name);
    void ended(const Name& name);
    void set_paused(const Name& name, Monitor& monitor, bool paused);
    void tell(const Name& name, Monitor& monitor, const char* type);
    void heard(const Name& name, Monitor& monitor, const std::string& event, const Json& data);

    const Paths& paths_;
    EventLog& events_;
    mutable std::mutex mutex_;
    std::condition_variable_any wake_;
    std::map<Name, std::shared_ptr<Monitor>> monitors_;
    std::map<Name, unsigned> endings_;
    std::map<Name, unsigned> guest_shutdowns_;
    std::set<Name> to_attach_;
    std::vector<std::shared_ptr<Monitor>> to_drop_; ///< their destructors join a thread: not for unit_changed
    std::jthread thread_;
};

} // namespace capsul
