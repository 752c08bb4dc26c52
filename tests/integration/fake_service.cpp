#include "tests/integration/fake_service.hpp"

#include "lib/error.hpp"

#include <csignal>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;

constexpr int exit_exec = 203; // systemd.exec(5): the program could not be run

/// The word for a wait status; the signals that a stop sends count as success.
std::string result_of(int status) {
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status) == 0 ? "success" : "exit-code";
    }
    const int signal = WTERMSIG(status);
    const bool clean = signal == SIGTERM || signal == SIGHUP || signal == SIGINT || signal == SIGPIPE;
    return clean ? "success" : WCOREDUMP(status) ? "core-dump" : "signal";
}

bool has_ended(int pidfd) {
    pollfd wanted{pidfd, POLLIN, 0};
    return pidfd >= 0 && ::poll(&wanted, 1, 0) > 0;
}

template <class Clock>
std::uint64_t now_usec() {
    const auto now = Clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

} // namespace

FakeService::FakeService(std::string name, UnitFolders folders)
    : name_(std::move(name)), folders_(std::move(folders)) {
    load();
}

void FakeService::start() {
    result_ = "success";
    main_status_ = 0;
    reload_run_ = {};
    stop_post_run_ = {};
    make_runtime_folders();
    set_state("activating", "start-pre");
    enter(Phase::start_pre);
}

void FakeService::stop() {
    if (is_stopped() || active_state_ == "deactivating") {
        return;
    }
    const bool was_active = active_state_ == "active";
    set_state("deactivating", "stop");
    deadline_ = Clock::now() + file_.stop_timeout;
    if (was_active) {
        enter(Phase::stop);
    } else {
        terminate();
    }
}

void FakeService::reload() {
    reload_run_ = {};
    set_state("reloading", "reload");
    enter(Phase::reload);
}

bool FakeService::kill(int signal) {
    main_.signal(signal, false);
    return static_cast<bool>(main_);
}

void FakeService::reset_failed() {
    if (active_state_ == "failed") {
        result_ = "success";
        set_state("inactive", "dead");
    }
}

bool FakeService::needs_reload() const {
    std::error_code error;
    return !file_.path.empty() && fs::last_write_time(file_.path, error) != file_.modified;
}

void FakeService::handle_events() {
    if (has_ended(main_.pidfd())) {
        on_main_ended(main_.finish());
    }
    if (has_ended(control_.pidfd())) {
        on_control_ended(control_.finish());
    }
    if (deadline_ && Clock::now() >= *deadline_) {
        on_deadline();
    }
}

const std::vector<UnitCommand>& FakeService::commands() const {
    static const std::vector<UnitCommand> none;
    switch (phase_) {
    case Phase::start_pre:
        return file_.start_pre;
    case Phase::start:
        return file_.start;
    case Phase::start_post:
        return file_.start_post;
    case Phase::reload:
        return file_.reload;
    case Phase::stop:
        return file_.stop;
    case Phase::stop_post:
        return file_.stop_post;
    case Phase::none:
    case Phase::term:
        break;
    }
    return none;
}

std::map<std::string, std::string> FakeService::environment() const {
    std::map<std::string, std::string> environment{{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                                   {"HOME", folders_.home.string()},
                                                   {"XDG_RUNTIME_DIR", folders_.runtime.string()},
                                                   {"SERVICE_RESULT", result_}};
    if (!file_.runtime_folders.empty()) {
        environment["RUNTIME_DIRECTORY"] = (folders_.runtime / file_.runtime_folders.front()).string();
    }
    if (main_) {
        environment["MAINPID"] = std::to_string(main_.pid());
    }
    for (const auto& [name, value] : file_.environment) {
        environment[name] = value;
    }
    return environment;
}

void FakeService::set_state(const std::string& active, const std::string& sub) {
    if (active == "active" && active_state_ != "active") {
        active_enter_usec_ = now_usec<std::chrono::system_clock>();
    }
    active_state_ = active;
    sub_state_ = sub;
    ++changes_;
}

void FakeService::enter(Phase phase) {
    phase_ = phase;
    next_command_ = 0;
    run_next();
}

/// Runs the next command of the phase, or goes on to the next phase.
void FakeService::run_next() {
    if (next_command_ >= commands().size()) {
        phase_done();
        return;
    }
    const UnitCommand& command = commands()[next_command_++];
    UnitProcess& process = phase_ == Phase::start ? main_ : control_;
    if (phase_ == Phase::start) {
        main_start_usec_ = now_usec<std::chrono::steady_clock>();
    } else if (CommandRun* const run = run_to_note()) {
        run->start_usec = now_usec<std::chrono::steady_clock>();
    }
    try {
        process = UnitProcess(command, environment(), file_, folders_.runtime / (name_ + ".log"));
    } catch (const Error&) {
        const int status = exit_exec << 8;
        phase_ == Phase::start ? on_main_ended(status) : on_control_ended(status);
        return;
    }
    if (phase_ == Phase::start && file_.type != "oneshot") {
        enter(Phase::start_post); // it runs; simple and exec are ready then
    } else if (phase_ == Phase::start && file_.start_timeout) {
        deadline_ = Clock::now() + *file_.start_timeout;
    }
}

void FakeService::phase_done() {
    switch (phase_) {
    case Phase::start_pre:
        set_state("activating", "start");
        enter(Phase::start);
        break;
    case Phase::start:
        enter(Phase::start_post);
        break;
    case Phase::reload:
    case Phase::start_post:
        phase_ = Phase::none;
        if (main_) {
            set_state("active", "running");
        } else if (file_.remain_after_exit) {
            set_state("active", "exited");
        } else {
            terminate();
        }
        break;
    case Phase::stop:
        terminate();
        break;
    case Phase::stop_post:
        finish();
        break;
    case Phase::none:
    case Phase::term:
        break;
    }
}

FakeService::CommandRun* FakeService::run_to_note() {
    return phase_ == Phase::reload ? &reload_run_ : phase_ == Phase::stop_post ? &stop_post_run_ : nullptr;
}

void FakeService::on_control_ended(int status) {
    if (CommandRun* const run = run_to_note()) {
        run->status = status;
    }
    const bool ignored = commands().at(next_command_ - 1).ignore_failure;
    const std::string result = ignored ? "success" : result_of(status);
    if (result == "success") {
        run_next();
    } else if (phase_ == Phase::reload) {
        phase_done(); // it stays up
    } else if (phase_ == Phase::start_pre || phase_ == Phase::start_post || phase_ == Phase::stop) {
        fail(result);
    } else {
        result_ = result;
        run_next();
    }
}

void FakeService::on_main_ended(int status) {
    main_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    const std::string result = result_of(status);
    ++changes_;
    if (phase_ == Phase::stop) {
        return; // as ExecStop wanted it; that goes on
    }
    if (phase_ == Phase::start && result == "success") {
        deadline_.reset();
        run_next();
        return;
    }
    if (result_ == "success") {
        result_ = result;
    }
    terminate();
}

void FakeService::on_deadline() {
    result_ = "timeout";
    if (phase_ == Phase::term) {
        main_.signal(SIGKILL, true);
        deadline_.reset();
    } else {
        control_ = UnitProcess();
        terminate();
    }
}

void FakeService::fail(const std::string& result) {
    result_ = result;
    terminate();
}

/// Sends SIGTERM to what runs, and SIGKILL at the deadline; when nothing runs (any more), goes on.
void FakeService::terminate() {
    phase_ = Phase::term;
    control_ = UnitProcess();
    if (main_) {
        set_state("deactivating", "stop-sigterm");
        deadline_ = Clock::now() + file_.stop_timeout;
        main_.signal(SIGTERM, file_.term_group);
        return;
    }
    deadline_.reset();
    if (!file_.stop_post.empty()) {
        set_state("deactivating", "stop-post");
    }
    enter(Phase::stop_post);
}

void FakeService::finish() {
    phase_ = Phase::none;
    remove_runtime_folders();
    const bool good = result_ == "success";
    set_state(good ? "inactive" : "failed", good ? "dead" : "failed");
}

void FakeService::make_runtime_folders() const {
    for (const std::string& folder : file_.runtime_folders) {
        make_folders(folders_.runtime / folder);
    }
}

void FakeService::remove_runtime_folders() const {
    for (const std::string& folder : file_.runtime_folders) {
        if (!file_.keep_runtime_folders) {
            fs::remove_all(folders_.runtime / folder);
        }
    }
}

} // namespace capsul::test
