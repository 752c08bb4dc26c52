#include "daemon/vm_monitors.hpp"

#include "daemon/systemd_client.hpp"
#include "lib/error.hpp"

namespace capsul {
namespace {

constexpr int most_events_a_second = 10;

/// What QEMU answers to query-status.
bool says_running(const Json& status, const fs::path& socket) {
    const auto running = status.is_object() ? status.find("running") : status.end();
    if (running == status.end() || !running->is_boolean()) {
        throw Error(ErrorCode::internal, socket.string() + ": QEMU's answer to query-status is malformed");
    }
    return running->get<bool>();
}

unsigned count_of(const std::map<Name, unsigned>& counts, const Name& name) {
    const auto found = counts.find(name);
    return found == counts.end() ? 0 : found->second;
}

} // namespace

VmMonitors::VmMonitors(const Paths& paths, EventLog& events)
    : paths_(paths), events_(events), thread_([this](const std::stop_token& stop) { attach_waiting(stop); }) {
}

VmMonitors::~VmMonitors() {
    thread_.request_stop();
    thread_.join();
}

void VmMonitors::unit_changed(const Name& name, const std::string& active_state) {
    if (active_state == "active") {
        adopt(name);
        events_.add("vm.started", name.to_string());
    } else if (is_stopped(active_state)) {
        ended(name);
        events_.add(active_state == "failed" ? "vm.failed" : "vm.stopped", name.to_string());
    }
}

void VmMonitors::adopt(const Name& name) {
    const std::lock_guard lock(mutex_);
    to_attach_.insert(name);
    wake_.notify_one();
}

void VmMonitors::ended(const Name& name) {
    const std::lock_guard lock(mutex_);
    ++endings_[name];
    to_attach_.erase(name);
    if (const auto found = monitors_.find(name); found != monitors_.end()) {
        to_drop_.push_back(found->second);
        monitors_.erase(found);
        wake_.notify_one();
    }
}

unsigned VmMonitors::endings(const Name& name) const {
    const std::lock_guard lock(mutex_);
    return count_of(endings_, name);
}

unsigned VmMonitors::guest_shutdowns(const Name& name) const {
    const std::lock_guard lock(mutex_);
    return count_of(guest_shutdowns_, name);
}

std::shared_ptr<QmpClient> VmMonitors::connection(const Name& name, std::chrono::milliseconds limit,
                                                  const std::function<bool()>& cancelled) {
    const auto wanted = monitor(name);
    const std::lock_guard lock(wanted->connecting);
    // With the monitor, which hears the events: as long as somebody holds the connection, none is lost.
    const auto both = std::make_shared<std::pair<std::shared_ptr<Monitor>, std::shared_ptr<QmpClient>>>(
        wanted, connect(name, wanted, limit, cancelled));
    return {both, both->second.get()};
}

bool VmMonitors::paused(const Name& name) const {
    const std::lock_guard lock(mutex_);
    const auto found = monitors_.find(name);
    return found != monitors_.end() && found->second->paused;
}

void VmMonitors::set_paused(const Name& name, bool paused) {
    set_paused(name, *monitor(name), paused);
}

void VmMonitors::set_paused(const Name& name, Monitor& monitor, bool paused) {
    {
        const std::lock_guard lock(monitor.telling);
        ++monitor.said;
        if (monitor.paused.exchange(paused) == paused) {
            return;
        }
    }
    tell(name, monitor, paused ? "vm.paused" : "vm.resumed");
}

/// Makes an event of it, unless there were too many in this second: a taken-over QEMU has no end of them.
void VmMonitors::tell(const Name& name, Monitor& monitor, const char* type) {
    {
        const std::lock_guard lock(monitor.telling);
        const auto second = std::chrono::floor<std::chrono::seconds>(Clock::now());
        if (std::exchange(monitor.second, second) != second) {
            monitor.told = 0;
        }
        if (++monitor.told > most_events_a_second) {
            return;
        }
    }
    events_.add(type, name.to_string());
}

std::shared_ptr<VmMonitors::Monitor> VmMonitors::monitor(const Name& name) {
    const std::lock_guard lock(mutex_);
    auto& found = monitors_[name];
    if (!found) {
        found = std::make_shared<Monitor>();
    }
    return found;
}

/// On the connection's reader thread.
void VmMonitors::heard(const Name& name, Monitor& monitor, const std::string& event, const Json& data) {
    if (event == "STOP" || event == "RESUME") {
        set_paused(name, monitor, event == "STOP");
    } else if (event == "GUEST_PANICKED") {
        tell(name, monitor, "vm.guest_panicked");
    } else if (event == "SHUTDOWN" && data.value("guest", false)) {
        const std::lock_guard lock(mutex_);
        ++guest_shutdowns_[name];
    }
}

/// With monitor->connecting held.
std::shared_ptr<QmpClient> VmMonitors::connect(const Name& name, const std::shared_ptr<Monitor>& monitor,
                                               std::chrono::milliseconds limit,
                                               const std::function<bool()>& cancelled) {
    if (monitor->client && monitor->client->connected()) {
        return monitor->client;
    }
    const std::weak_ptr<Monitor> weak = monitor;
    const auto on_event = [weak, this, name](const std::string& event, const Json& data) {
        if (const auto alive = weak.lock()) {
            heard(name, *alive, event, data);
        }
    };
    const fs::path socket = paths_.vm_runtime(name) / "qmp.sock";
    auto client = std::make_shared<QmpClient>(socket, limit, on_event, cancelled);
    const unsigned before = monitor->said;
    const bool running = says_running(client->execute("query-status"), socket);
    {
        const std::lock_guard lock(monitor->telling);
        if (monitor->said == before) { // an event is newer than the answer
            monitor->paused = !running;
        }
    }
    monitor->client = std::move(client);
    return monitor->client;
}

void VmMonitors::attach_waiting(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [this] { return !to_attach_.empty() || !to_drop_.empty(); })) {
        const auto dropped = std::exchange(to_drop_, {});
        const auto names = std::exchange(to_attach_, {});
        lock.unlock();
        for (const Name& name : names) {
            attach(name);
        }
        lock.lock();
    }
}

/// A VM that somebody else is connecting to, or that does not answer, is passed over: the next command tries
/// again.
void VmMonitors::attach(const Name& name) {
    const auto wanted = monitor(name);
    const std::unique_lock lock(wanted->connecting, std::try_to_lock);
    if (!lock) {
        return;
    }
    try {
        static_cast<void>(connect(name, wanted, std::chrono::seconds(2), {}));
    } catch (const std::exception&) { // this thread is everybody's: no QEMU may end it
        wanted->client.reset();
    }
}

} // namespace capsul
