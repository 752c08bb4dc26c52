#include "tests/integration/fake_systemd.hpp"

#include "lib/error.hpp"
#include "tests/integration/fake_service.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <fnmatch.h>
#include <future>
#include <list>
#include <mutex>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <thread>
#include <unistd.h>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;
using Clock = FakeService::Clock;

constexpr const char* manager_path = "/org/freedesktop/systemd1";
constexpr const char* manager_interface = "org.freedesktop.systemd1.Manager";
constexpr const char* unit_interface = "org.freedesktop.systemd1.Unit";
constexpr const char* service_interface = "org.freedesktop.systemd1.Service";
constexpr const char* unit_prefix = "/org/freedesktop/systemd1/unit";

struct BusClose {
    void operator()(sd_bus* bus) const { sd_bus_flush_close_unref(bus); }
};
struct MessageUnref {
    void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using MessagePtr = std::unique_ptr<sd_bus_message, MessageUnref>;

/// A D-Bus error that a call is answered with.
struct CallError {
    std::string name;
    std::string message;
};

std::string path_of(const std::string& unit) {
    char* path = nullptr;
    sd_bus_path_encode(unit_prefix, unit.c_str(), &path);
    const std::unique_ptr<char, decltype(&std::free)> owner(path, std::free);
    return path;
}

std::string unit_of(const char* path) {
    char* name = nullptr;
    if (sd_bus_path_decode(path, unit_prefix, &name) <= 0) {
        throw CallError{SD_BUS_ERROR_UNKNOWN_OBJECT, "no such object"};
    }
    const std::unique_ptr<char, decltype(&std::free)> owner(name, std::free);
    return name;
}

std::string read_string(sd_bus_message* message) {
    const char* text = nullptr;
    if (sd_bus_message_read(message, "s", &text) <= 0) {
        throw CallError{SD_BUS_ERROR_INVALID_ARGS, "a string is missing"};
    }
    return text;
}

std::vector<std::string> read_strings(sd_bus_message* message) {
    std::vector<std::string> strings;
    const char* text = nullptr;
    sd_bus_message_enter_container(message, 'a', "s");
    while (sd_bus_message_read(message, "s", &text) > 0) {
        strings.emplace_back(text);
    }
    sd_bus_message_exit_container(message);
    return strings;
}

UniqueFd listen_unix(const fs::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), std::min(path.native().size(), sizeof address.sun_path - 1));
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    fs::remove(path);
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), 64) != 0) {
        throw_errno(errno, path.string());
    }
    return fd;
}

struct Job {
    std::uint32_t id = 0;
    bool starts = false;
    bool reloads = false;
    bool begun = false;
    std::vector<std::string> asked{}; ///< required units that were started for it
    MessagePtr unanswered;            ///< the call, when the answer is to come after the end
    [[nodiscard]] std::string path() const { return fmt::format("{}/job/{}", manager_path, id); }
};

struct Unit {
    explicit Unit(const std::string& name, const UnitFolders& folders) : service(name, folders) {}
    FakeService service;
    std::optional<Job> job;
    bool announced = false;    ///< UnitNew was sent
    unsigned changes_told = 0; ///< service.changes() when the last signal was sent
};

// Properties, as name and a function that appends the value as a variant.

void append_unit_properties(sd_bus_message* m, const FakeService& s, const std::string& only) {
    const auto property = [&](const char* name, const char* type, auto... value) {
        if (only.empty() || only == name) {
            only.empty() ? sd_bus_message_append(m, "{sv}", name, type, value...)
                         : sd_bus_message_append(m, "v", type, value...);
        }
    };
    property("Id", "s", s.name().c_str());
    property("LoadState", "s", s.file().load_state.c_str());
    property("ActiveState", "s", s.active_state().c_str());
    property("SubState", "s", s.sub_state().c_str());
    property("FragmentPath", "s", s.file().path.c_str());
    property("NeedDaemonReload", "b", static_cast<int>(s.needs_reload()));
    property("ActiveEnterTimestamp", "t", s.active_enter_usec());
    std::vector<char*> drop_ins;
    for (const std::string& path : s.file().drop_ins) {
        drop_ins.push_back(const_cast<char*>(path.c_str())); // NOLINT: the API's type
    }
    drop_ins.push_back(nullptr);
    const auto open = [&](const char* name, const char* type) {
        if (only.empty()) {
            sd_bus_message_open_container(m, 'e', "sv");
            sd_bus_message_append(m, "s", name);
        }
        sd_bus_message_open_container(m, 'v', type);
    };
    const auto close = [&] {
        sd_bus_message_close_container(m);
        if (only.empty()) {
            sd_bus_message_close_container(m);
        }
    };
    if (only.empty() || only == "DropInPaths") {
        open("DropInPaths", "as");
        sd_bus_message_append_strv(m, drop_ins.data());
        close();
    }
}

void append_service_properties(sd_bus_message* m, const FakeService& s, const std::string& only) {
    const auto property = [&](const char* name, const char* type, auto... value) {
        if (only.empty() || only == name) {
            only.empty() ? sd_bus_message_append(m, "{sv}", name, type, value...)
                         : sd_bus_message_append(m, "v", type, value...);
        }
    };
    property("Type", "s", s.file().type.c_str());
    property("Result", "s", s.result().c_str());
    property("MainPID", "u", static_cast<std::uint32_t>(s.main_pid()));
    property("ExecMainStatus", "i", s.main_status());
    property("ExecMainStartTimestampMonotonic", "t", s.main_start_usec());
    property("SyslogIdentifier", "s", s.file().syslog_identifier.c_str());
    const auto run = [&](const char* name, const FakeService::CommandRun& last) {
        const bool exited = WIFEXITED(last.status);
        property(name, "a(sasbttttuii)", 1, "/bin/true", 1, "/bin/true", 0, std::uint64_t{0}, last.start_usec,
                 std::uint64_t{0}, std::uint64_t{0}, 0U, exited ? CLD_EXITED : CLD_KILLED,
                 exited ? WEXITSTATUS(last.status) : WTERMSIG(last.status));
    };
    run("ExecReload", s.reload_run());
    run("ExecStopPost", s.stop_post_run());
}

void append_properties(sd_bus_message* message, const FakeService& service, const std::string& interface,
                       const std::string& only) {
    if (interface.empty() || interface == unit_interface) {
        append_unit_properties(message, service, only);
    }
    if (interface.empty() || interface == service_interface) {
        append_service_properties(message, service, only);
    }
}

} // namespace

class FakeSystemd::Manager {
  public:
    explicit Manager(FakeSystemdFolders folders);
    ~Manager();
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;

    /// Runs `task` on the manager's thread and waits for it.
    void run(const std::function<void()>& task);
    void go_away();
    void come_back() { listener_ = listen_unix(folders.socket); }

    const FakeSystemdFolders folders;
    std::mutex mutex; ///< of the next two
    std::map<std::string, int> calls;
    std::list<std::packaged_task<void()>> tasks;
    bool late_answers = false;
    bool late_resets = false;
    bool silent = false;

  private:
    struct Connection {
        Manager* manager;
        std::unique_ptr<sd_bus, BusClose> bus;
    };
    using UnitPtr = std::shared_ptr<Unit>;

    static int on_message(sd_bus_message* message, void* connection, sd_bus_error* error) noexcept;
    int handle_call(sd_bus_message* message);
    void answer(sd_bus_message* message);
    void answer_manager(const std::string& member, sd_bus_message* message);
    void answer_properties(const std::string& member, sd_bus_message* message);
    void answer_list(sd_bus_message* message);
    void answer_job(sd_bus_message* message, bool starts, bool reloads);
    void answer_kill(sd_bus_message* message);
    void reload();

    void loop();
    void accept_connections();
    void process_connections();
    void wait() const;
    void run_tasks();

    UnitPtr load(const std::string& name);
    UnitPtr loaded(const std::string& name);
    void progress();
    bool progress_job(const UnitPtr& unit);
    bool is_ready(Unit& unit);
    bool has_tried_wanted(Unit& unit);
    bool progress_reload(Unit& unit);
    void queue_job(const UnitPtr& unit, bool starts, bool reloads = false);
    void end_job(Unit& unit, const char* result);
    void announce(Unit& unit);
    void collect_stopped();
    template <class... Arguments>
    void emit(const char* member, const char* types, Arguments... arguments);
    void emit_changed(const Unit& unit, const char* interface);

    UniqueFd wake_;
    UniqueFd listener_;
    std::list<Connection> connections_;
    std::map<std::string, UnitPtr> units_;
    std::uint32_t last_job_ = 0;
    bool is_quiet_ = false; ///< what has changed is told later
    bool stopping_ = false;
    std::thread thread_;
};

// The thread.

FakeSystemd::Manager::Manager(FakeSystemdFolders where)
    : folders(std::move(where)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      listener_(listen_unix(folders.socket)), thread_([this] { loop(); }) {}

FakeSystemd::Manager::~Manager() {
    run([this] { stopping_ = true; });
    thread_.join();
}

void FakeSystemd::Manager::run(const std::function<void()>& task) {
    std::future<void> done;
    {
        const std::lock_guard lock(mutex);
        done = tasks.emplace_back(task).get_future();
    }
    ::eventfd_write(wake_.get(), 1);
    done.get();
}

void FakeSystemd::Manager::run_tasks() {
    std::list<std::packaged_task<void()>> now;
    {
        const std::lock_guard lock(mutex);
        now.swap(tasks);
    }
    for (auto& task : now) {
        task();
    }
}

void FakeSystemd::Manager::loop() {
    for (run_tasks(); !stopping_; run_tasks()) {
        accept_connections();
        process_connections();
        const auto units = units_; // handling may load others
        for (const auto& [name, unit] : units) {
            unit->service.handle_events();
        }
        progress();
        wait();
    }
    go_away();
    units_.clear();
}

void FakeSystemd::Manager::go_away() {
    listener_.reset();
    fs::remove(folders.socket);
    connections_.clear();
}

void FakeSystemd::Manager::accept_connections() {
    while (listener_) {
        UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd) {
            return;
        }
        sd_bus* bus = nullptr;
        sd_bus_new(&bus);
        Connection& connection = connections_.emplace_back(Connection{this, {}});
        connection.bus.reset(bus);
        const int number = fd.release();
        sd_id128_t id{};
        sd_id128_randomize(&id);
        sd_bus_set_fd(bus, number, number);
        sd_bus_set_server(bus, 1, id);
        sd_bus_set_anonymous(bus, 1);
        sd_bus_set_trusted(bus, 1);
        sd_bus_add_filter(bus, nullptr, on_message, this);
        sd_bus_start(bus);
    }
}

void FakeSystemd::Manager::process_connections() {
    std::erase_if(connections_, [](const Connection& connection) {
        int result = 0;
        while ((result = sd_bus_process(connection.bus.get(), nullptr)) > 0) {
        }
        return result < 0 || sd_bus_is_open(connection.bus.get()) <= 0;
    });
}

void FakeSystemd::Manager::wait() const {
    std::vector<pollfd> wanted{{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    Clock::time_point until = Clock::now() + std::chrono::hours(1);
    for (const Connection& connection : connections_) {
        sd_bus* const bus = connection.bus.get();
        wanted.push_back({sd_bus_get_fd(bus), static_cast<short>(sd_bus_get_events(bus)), 0});
        std::uint64_t usec = 0;
        if (sd_bus_get_timeout(bus, &usec) > 0 && usec != UINT64_MAX) {
            until = std::min(until, Clock::time_point(std::chrono::microseconds(usec)));
        }
    }
    for (const auto& [name, unit] : units_) {
        wanted.push_back({unit->service.main_fd(), POLLIN, 0});
        wanted.push_back({unit->service.control_fd(), POLLIN, 0});
        until = std::min(until, unit->service.deadline().value_or(until));
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    ::poll(wanted.data(), wanted.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    eventfd_t count = 0;
    ::eventfd_read(wake_.get(), &count);
}

// Units and jobs.

FakeSystemd::Manager::UnitPtr FakeSystemd::Manager::load(const std::string& name) {
    UnitPtr& unit = units_[name];
    if (!unit) {
        unit = std::make_shared<Unit>(name, UnitFolders{folders.units, folders.runtime, folders.home});
    }
    return unit;
}

FakeSystemd::Manager::UnitPtr FakeSystemd::Manager::loaded(const std::string& name) {
    const auto found = units_.find(name);
    if (found == units_.end()) {
        throw CallError{"org.freedesktop.systemd1.NoSuchUnit", "Unit " + name + " not loaded."};
    }
    return found->second;
}

/// Lets jobs begin and end, and tells what changed, until nothing changes any more.
void FakeSystemd::Manager::progress() {
    if (is_quiet_) {
        return;
    }
    bool again = true;
    while (again) {
        again = false;
        const auto units = units_; // a job may load others
        for (const auto& [name, unit] : units) {
            again = progress_job(unit) || again;
        }
    }
    for (const auto& [name, unit] : units_) {
        announce(*unit);
    }
    collect_stopped();
}

bool FakeSystemd::Manager::progress_job(const UnitPtr& unit) {
    FakeService& service = unit->service;
    if (!unit->job) {
        return false;
    }
    if (unit->job->reloads) {
        return progress_reload(*unit);
    }
    if (!unit->job->begun) {
        const std::uint32_t jobs_before = last_job_;
        if (unit->job->starts && (service.active_state() == "deactivating" || !is_ready(*unit))) {
            return last_job_ != jobs_before;
        }
        if (!unit->job) {
            return true; // a unit that it requires failed
        }
        unit->job->begun = true;
        if (!unit->job->starts) {
            service.stop();
        } else if (service.is_stopped()) {
            service.start();
        }
    }
    if (unit->job->starts && service.active_state() == "active") {
        end_job(*unit, "done");
    } else if (service.is_stopped()) {
        end_job(*unit, unit->job->starts && service.active_state() == "failed" ? "failed" : "done");
    } else {
        return false;
    }
    return true;
}

/// Once the unit is up.
bool FakeSystemd::Manager::progress_reload(Unit& unit) {
    FakeService& service = unit.service;
    if (!unit.job->begun && service.active_state() == "active") {
        unit.job->begun = true;
        service.reload();
    }
    if (service.is_stopped() || (unit.job->begun && service.active_state() != "reloading")) {
        end_job(unit, service.is_stopped() || service.reload_failed() ? "failed" : "done");
        return true;
    }
    return false;
}

/// Starts what the unit wants; true when all of that has come up, or failed to.
bool FakeSystemd::Manager::has_tried_wanted(Unit& unit) {
    bool ready = true;
    std::vector<std::string>& asked = unit.job->asked;
    for (const std::string& name : unit.service.file().wanted) {
        const UnitPtr wanted = load(name);
        const bool was_asked = std::ranges::find(asked, name) != asked.end();
        if (!was_asked && wanted->service.file().load_state == "loaded" &&
            wanted->service.active_state() != "active") {
            asked.push_back(name);
            queue_job(wanted, true);
        }
        ready = ready && !wanted->job;
    }
    return ready;
}

/// Starts what the unit requires; true when all of that is active. Ends the job when that is not possible.
bool FakeSystemd::Manager::is_ready(Unit& unit) {
    bool ready = has_tried_wanted(unit);
    std::vector<std::string>& asked = unit.job->asked;
    for (const std::string& name : unit.service.file().required) {
        const UnitPtr required = load(name);
        const FakeService& service = required->service;
        const bool was_asked = std::ranges::find(asked, name) != asked.end();
        if (service.active_state() == "active" ||
            (was_asked && service.active_state() == "inactive" && !required->job)) {
            continue;
        }
        if (!required->job && (was_asked || service.file().load_state != "loaded")) {
            end_job(unit, "dependency");
            return true;
        }
        if (!required->job) {
            asked.push_back(name);
            queue_job(required, true);
        }
        ready = false;
    }
    return ready;
}

void FakeSystemd::Manager::queue_job(const UnitPtr& unit, bool starts, bool reloads) {
    if (unit->job && unit->job->starts == starts && unit->job->reloads == reloads) {
        return; // merged
    }
    if (unit->job) {
        end_job(*unit, "canceled");
    }
    unit->job.emplace();
    unit->job->id = ++last_job_;
    unit->job->starts = starts;
    unit->job->reloads = reloads;
    announce(*unit);
    emit("JobNew", "uos", unit->job->id, unit->job->path().c_str(), unit->service.name().c_str());
}

void FakeSystemd::Manager::end_job(Unit& unit, const char* result) {
    const Job job = std::move(*unit.job);
    unit.job.reset();
    announce(unit);
    emit("JobRemoved", "uoss", job.id, job.path().c_str(), unit.service.name().c_str(), result);
    if (job.unanswered) {
        sd_bus_reply_method_return(job.unanswered.get(), "o", job.path().c_str());
    }
}

/// Sends what is not told yet: UnitNew the first time, PropertiesChanged later.
void FakeSystemd::Manager::announce(Unit& unit) {
    if (!unit.announced) {
        unit.announced = true;
        emit("UnitNew", "so", unit.service.name().c_str(), path_of(unit.service.name()).c_str());
    } else if (unit.changes_told != unit.service.changes()) {
        emit_changed(unit, service_interface);
        emit_changed(unit, unit_interface);
    }
    unit.changes_told = unit.service.changes();
}

void FakeSystemd::Manager::collect_stopped() {
    for (auto unit = units_.begin(); unit != units_.end();) {
        if (unit->second->service.active_state() == "inactive" && !unit->second->job) {
            emit("UnitRemoved", "so", unit->first.c_str(), path_of(unit->first).c_str());
            unit = units_.erase(unit);
        } else {
            ++unit;
        }
    }
}

template <class... Arguments>
void FakeSystemd::Manager::emit(const char* member, const char* types, Arguments... arguments) {
    for (const Connection& connection : connections_) {
        sd_bus_emit_signal(connection.bus.get(), manager_path, manager_interface, member, types,
                           arguments...);
    }
}

void FakeSystemd::Manager::emit_changed(const Unit& unit, const char* interface) {
    for (const Connection& connection : connections_) {
        sd_bus_message* message = nullptr;
        sd_bus_message_new_signal(connection.bus.get(), &message, path_of(unit.service.name()).c_str(),
                                  "org.freedesktop.DBus.Properties", "PropertiesChanged");
        const MessagePtr owner(message);
        sd_bus_message_append(message, "s", interface);
        sd_bus_message_open_container(message, 'a', "{sv}");
        append_properties(message, unit.service, interface, "");
        sd_bus_message_close_container(message);
        sd_bus_message_append(message, "as", 0);
        sd_bus_send(connection.bus.get(), message, nullptr);
    }
}

// Calls.

int FakeSystemd::Manager::on_message(sd_bus_message* message, void* self, sd_bus_error*) noexcept {
    if (sd_bus_message_is_method_call(message, nullptr, nullptr) <= 0) {
        return 0;
    }
    try {
        return static_cast<Manager*>(self)->handle_call(message);
    } catch (const std::exception& error) {
        return sd_bus_reply_method_errorf(message, SD_BUS_ERROR_FAILED, "%s", error.what());
    }
}

int FakeSystemd::Manager::handle_call(sd_bus_message* message) {
    {
        const std::lock_guard lock(mutex);
        ++calls[sd_bus_message_get_member(message)];
    }
    if (silent) {
        return 1;
    }
    try {
        answer(message);
    } catch (const CallError& error) {
        sd_bus_reply_method_errorf(message, error.name.c_str(), "%s", error.message.c_str());
    }
    return 1;
}

void FakeSystemd::Manager::answer(sd_bus_message* message) {
    const std::string member = sd_bus_message_get_member(message);
    if (member == "Get" || member == "GetAll") {
        answer_properties(member, message);
    } else {
        answer_manager(member, message);
    }
}

void FakeSystemd::Manager::answer_manager(const std::string& member, sd_bus_message* message) {
    if (member == "StartUnit" || member == "StopUnit" || member == "ReloadUnit") {
        answer_job(message, member == "StartUnit", member == "ReloadUnit");
        return;
    }
    if (member == "ListUnitsByPatterns") {
        answer_list(message);
        return;
    }
    if (member == "GetUnit" || member == "LoadUnit") {
        const std::string name = read_string(message);
        const UnitPtr unit = member == "GetUnit" ? loaded(name) : load(name);
        sd_bus_reply_method_return(message, "o", path_of(name).c_str());
        return;
    }
    if (member == "GetJob") {
        std::uint32_t id = 0;
        sd_bus_message_read(message, "u", &id);
        for (const auto& [name, unit] : units_) {
            if (unit->job && unit->job->id == id) {
                sd_bus_reply_method_return(message, "o", unit->job->path().c_str());
                return;
            }
        }
        throw CallError{"org.freedesktop.systemd1.NoSuchJob", fmt::format("Job {} does not exist.", id)};
    }
    if (member == "KillUnit") {
        answer_kill(message);
    } else if (member == "ResetFailedUnit") {
        loaded(read_string(message))->service.reset_failed();
        is_quiet_ = late_resets;
    } else if (member == "ResetFailed") {
        for (const auto& [name, unit] : units_) {
            unit->service.reset_failed();
        }
    } else if (member == "Reload") {
        reload();
    } else if (member != "Subscribe" && member != "Unsubscribe") {
        throw CallError{SD_BUS_ERROR_UNKNOWN_METHOD, "Unknown method " + member};
    }
    sd_bus_reply_method_return(message, "");
}

void FakeSystemd::Manager::answer_job(sd_bus_message* message, bool starts, bool reloads) {
    is_quiet_ = false;
    const UnitPtr unit = load(read_string(message));
    const std::string& name = unit->service.name();
    const std::string& load_state = unit->service.file().load_state;
    if (!starts && load_state != "loaded" && unit->service.is_stopped()) {
        throw CallError{"org.freedesktop.systemd1.NoSuchUnit", "Unit " + name + " not loaded."};
    }
    if (starts && load_state == "not-found") {
        throw CallError{"org.freedesktop.systemd1.NoSuchUnit", "Unit " + name + " not found."};
    }
    if (starts && load_state == "masked") {
        throw CallError{"org.freedesktop.systemd1.UnitMasked", "Unit " + name + " is masked."};
    }
    if (starts && load_state == "bad-setting") {
        throw CallError{"org.freedesktop.systemd1.BadUnitSetting",
                        "Unit " + name + " has a bad unit file setting."};
    }
    for (const std::string& required : unit->service.file().required) {
        if (starts && load(required)->service.file().load_state == "not-found") {
            throw CallError{"org.freedesktop.systemd1.NoSuchUnit", "Unit " + required + " not found."};
        }
    }
    queue_job(unit, starts, reloads);
    if (late_answers) {
        unit->job->unanswered.reset(sd_bus_message_ref(message));
    } else {
        sd_bus_reply_method_return(message, "o", unit->job->path().c_str());
    }
}

void FakeSystemd::Manager::answer_kill(sd_bus_message* message) {
    const UnitPtr unit = loaded(read_string(message));
    const std::string who = read_string(message);
    std::int32_t signal = 0;
    sd_bus_message_read(message, "i", &signal);
    if (!unit->service.kill(signal)) {
        throw CallError{"org.freedesktop.systemd1.NoSuchProcess", "No " + who + " process to kill"};
    }
}

void FakeSystemd::Manager::answer_list(sd_bus_message* message) {
    const std::vector<std::string> states = read_strings(message);
    const std::vector<std::string> patterns = read_strings(message);
    sd_bus_message* reply = nullptr;
    sd_bus_message_new_method_return(message, &reply);
    const MessagePtr owner(reply);
    sd_bus_message_open_container(reply, 'a', "(ssssssouso)");
    for (const auto& [name, unit] : units_) {
        const FakeService& service = unit->service;
        const bool wanted =
            patterns.empty() || std::ranges::any_of(patterns, [&](const std::string& pattern) {
                return ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
            });
        if (wanted && (states.empty() || std::ranges::find(states, service.active_state()) != states.end())) {
            sd_bus_message_append(
                reply, "(ssssssouso)", name.c_str(), name.c_str(), service.file().load_state.c_str(),
                service.active_state().c_str(), service.sub_state().c_str(), "", path_of(name).c_str(),
                unit->job ? unit->job->id : 0, unit->job ? unit->job->starts ? "start" : "stop" : "",
                unit->job ? unit->job->path().c_str() : "/");
        }
    }
    sd_bus_message_close_container(reply);
    sd_bus_send(nullptr, reply, nullptr);
}

void FakeSystemd::Manager::answer_properties(const std::string& member, sd_bus_message* message) {
    const std::string interface = read_string(message);
    const std::string only = member == "Get" ? read_string(message) : "";
    if (only == "Version") {
        sd_bus_reply_method_return(message, "v", "s", "252.39-1~fake");
        return;
    }
    const UnitPtr unit = load(unit_of(sd_bus_message_get_path(message)));
    sd_bus_message* reply = nullptr;
    sd_bus_message_new_method_return(message, &reply);
    const MessagePtr owner(reply);
    if (only.empty()) {
        sd_bus_message_open_container(reply, 'a', "{sv}");
    }
    append_properties(reply, unit->service, interface, only);
    if (only.empty()) {
        sd_bus_message_close_container(reply);
    }
    sd_bus_send(nullptr, reply, nullptr);
}

/// As systemd does it: to a client all units go and come again.
void FakeSystemd::Manager::reload() {
    emit("Reloading", "b", 1);
    for (const auto& [name, unit] : units_) {
        emit("UnitRemoved", "so", name.c_str(), path_of(name).c_str());
        unit->announced = false;
        unit->service.load();
    }
    for (const auto& [name, unit] : units_) {
        announce(*unit);
    }
    emit("Reloading", "b", 0);
}

// The handle that tests have.

FakeSystemd::FakeSystemd(FakeSystemdFolders folders)
    : manager_(std::make_unique<Manager>(std::move(folders))) {}

FakeSystemd::~FakeSystemd() = default;

const fs::path& FakeSystemd::socket() const {
    return manager_->folders.socket;
}

std::map<std::string, int> FakeSystemd::calls() const {
    const std::lock_guard lock(manager_->mutex);
    return manager_->calls;
}

void FakeSystemd::reset_calls() {
    const std::lock_guard lock(manager_->mutex);
    manager_->calls.clear();
}

void FakeSystemd::go_away() {
    manager_->run([this] { manager_->go_away(); });
}

void FakeSystemd::come_back() {
    manager_->run([this] { manager_->come_back(); });
}

void FakeSystemd::reexecute() {
    go_away();
    come_back();
}

void FakeSystemd::answer_jobs_late() {
    manager_->run([this] { manager_->late_answers = true; });
}

void FakeSystemd::tell_resets_late() {
    manager_->run([this] { manager_->late_resets = true; });
}

void FakeSystemd::stop_answering() {
    manager_->run([this] { manager_->silent = true; });
}

} // namespace capsul::test
