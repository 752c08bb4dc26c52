// One service of the fake manager: the way from inactive to active and back, with real processes. Knows no
// D-Bus.
#pragma once

#include "tests/integration/fake_unit.hpp"

#include <cstdint>
#include <functional>
#include <optional>

namespace capsul::test {

class FakeService {
  public:
    using Clock = std::chrono::steady_clock;

    FakeService(std::string name, UnitFolders folders);

    void load() { file_ = load_unit(folders_, name_); }
    void start();
    void stop();
    /// Of one that is active.
    void reload();
    /// False when there is no main process.
    bool kill(int signal);
    void reset_failed();

    /// What to wait for (-1: nothing), and what to do after the wait.
    [[nodiscard]] int main_fd() const { return main_.pidfd(); }
    [[nodiscard]] int control_fd() const { return control_.pidfd(); }
    [[nodiscard]] std::optional<Clock::time_point> deadline() const { return deadline_; }
    void handle_events();

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const UnitFile& file() const { return file_; }
    [[nodiscard]] const std::string& active_state() const { return active_state_; }
    [[nodiscard]] const std::string& sub_state() const { return sub_state_; }
    [[nodiscard]] const std::string& result() const { return result_; }
    [[nodiscard]] bool is_stopped() const { return active_state_ == "inactive" || active_state_ == "failed"; }
    [[nodiscard]] bool needs_reload() const;
    [[nodiscard]] pid_t main_pid() const { return main_.pid(); }
    [[nodiscard]] int main_status() const { return main_status_; }
    [[nodiscard]] std::uint64_t active_enter_usec() const { return active_enter_usec_; }
    [[nodiscard]] std::uint64_t main_start_usec() const { return main_start_usec_; } ///< CLOCK_MONOTONIC
    [[nodiscard]] bool reload_failed() const { return reload_run_.status != 0; }

    /// The last run of a command, as far as there was one.
    struct CommandRun {
        std::uint64_t start_usec = 0; ///< CLOCK_MONOTONIC
        int status = 0;               ///< wait(2)
    };
    [[nodiscard]] const CommandRun& reload_run() const { return reload_run_; }
    [[nodiscard]] const CommandRun& stop_post_run() const { return stop_post_run_; }
    /// Grows with every change of state.
    [[nodiscard]] unsigned changes() const { return changes_; }

  private:
    enum class Phase { none, start_pre, start, start_post, reload, stop, term, stop_post };

    [[nodiscard]] const std::vector<UnitCommand>& commands() const;
    [[nodiscard]] std::map<std::string, std::string> environment() const;
    void set_state(const std::string& active, const std::string& sub);
    void enter(Phase phase);
    void run_next();
    void phase_done();
    void on_control_ended(int status);
    CommandRun* run_to_note();
    void on_main_ended(int status);
    void on_deadline();
    void fail(const std::string& result);
    void terminate();
    void finish();
    void make_runtime_folders() const;
    void remove_runtime_folders() const;

    const std::string name_;
    const UnitFolders folders_;
    UnitFile file_;
    std::string active_state_ = "inactive";
    std::string sub_state_ = "dead";
    std::string result_ = "success";
    std::uint64_t active_enter_usec_ = 0;
    std::uint64_t main_start_usec_ = 0;
    int main_status_ = 0;
    CommandRun reload_run_;
    CommandRun stop_post_run_;
    unsigned changes_ = 0;
    Phase phase_ = Phase::none;
    std::size_t next_command_ = 0;
    std::optional<Clock::time_point> deadline_;
    UnitProcess main_;
    UnitProcess control_;
};

} // namespace capsul::test
