// A service unit as the fake manager sees it: the file's text taken apart, and its processes. Knows no D-Bus.
#pragma once

#include "lib/fd.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace capsul::test {

/// One command line of a unit: the words as systemd understands them, but for $MAINPID and the like.
struct UnitCommand {
    std::vector<std::string> words;
    bool ignore_failure = false; ///< "-" before the program
};

struct UnitFile {
    std::filesystem::path path; ///< empty when there is none
    std::vector<std::string> drop_ins;
    std::filesystem::file_time_type modified{}; ///< of the file when it was read
    std::string load_state;                     ///< loaded, not-found, bad-setting, masked
    std::string type = "simple";
    std::string syslog_identifier;
    bool remain_after_exit = false;
    bool kill_group = true; ///< KillMode is not "process"
    bool term_group = true; ///< KillMode is "control-group"
    std::chrono::milliseconds stop_timeout{90'000};
    std::optional<std::chrono::milliseconds> start_timeout; ///< of a oneshot
    std::map<int, std::uint64_t> limits;                    ///< by setrlimit(2)'s number
    std::filesystem::path standard_output, standard_error;  ///< of "file:" and "append:"; empty = the log
    std::vector<std::string> runtime_folders;
    bool keep_runtime_folders = false;
    std::vector<std::string> required; ///< Requires=
    std::vector<std::string> wanted;   ///< Wants=
    std::map<std::string, std::string> environment;
    std::vector<UnitCommand> start_pre;
    std::vector<UnitCommand> start;
    std::vector<UnitCommand> start_post;
    std::vector<UnitCommand> reload;
    std::vector<UnitCommand> stop;
    std::vector<UnitCommand> stop_post;
};

/// What %t and %h stand for, and where unit files are.
struct UnitFolders {
    std::filesystem::path units;
    std::filesystem::path runtime;
    std::filesystem::path home;
};

/// Splits a line into words as systemd does: quotes, C escapes.
[[nodiscard]] std::vector<std::string> split_words(std::string_view line);

/// Reads a unit and its drop-ins. Never throws for what is in a file: load_state tells.
[[nodiscard]] UnitFile load_unit(const UnitFolders& folders, const std::string& unit);

/// A child in its own session; killed with its group and reaped when this goes.
class UnitProcess {
  public:
    UnitProcess() = default;
    /// Runs `command` with `environment` only, and with the limits and outputs of `file`; $NAME and ${NAME}
    /// in its words come from there. Throws Error when there is no such program.
    UnitProcess(const UnitCommand& command, const std::map<std::string, std::string>& environment,
                const UnitFile& file, const std::filesystem::path& log);
    UnitProcess(UnitProcess&& other) noexcept
        : pid_(std::exchange(other.pid_, 0)), pidfd_(std::move(other.pidfd_)) {}
    UnitProcess& operator=(UnitProcess&& other) noexcept {
        std::swap(pid_, other.pid_);
        std::swap(pidfd_, other.pidfd_);
        return *this;
    }
    UnitProcess(const UnitProcess&) = delete;
    UnitProcess& operator=(const UnitProcess&) = delete;
    ~UnitProcess();

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int pidfd() const { return pidfd_.get(); }
    [[nodiscard]] explicit operator bool() const { return pid_ > 0; }
    void signal(int number, bool whole_group) const;
    /// Kills what is left of the group and gives the wait status of the (ended) child.
    int finish();

  private:
    pid_t pid_ = 0;
    UniqueFd pidfd_;
};

} // namespace capsul::test
