#include "daemon/sandboxed_tool.hpp"

#include "daemon/journal.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

constexpr std::chrono::seconds patience{30};

/// Both of a program's outputs, read by a thread until its end.
class Outputs {
  public:
    Outputs(const ToolPlaces& places, const OnOutput& on_output)
        : out_(open_pipe(places.out), on_output), err_(open_pipe(places.err)),
          end_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), reader_([this] { read_until_end(); }) {}
    Outputs(const Outputs&) = delete;
    Outputs& operator=(const Outputs&) = delete;
    ~Outputs() { end(); }

    /// What was written; the program has ended.
    ProcessResult finish(int status) {
        end();
        out_.read_available();
        err_.read_available();
        return {status, out_.take_text(), err_.take_text()};
    }

  private:
    /// Open for writing too, it has no end before the program has opened it.
    static UniqueFd open_pipe(const fs::path& path) {
        if (::mkfifo(path.c_str(), 0600) != 0) {
            throw_errno(errno, path.string());
        }
        return open_file(path, O_RDWR | O_NONBLOCK);
    }

    void end() noexcept {
        ::eventfd_write(end_.get(), 1);
        if (reader_.joinable()) {
            reader_.join();
        }
    }

    void read_until_end() {
        bool ended = false;
        while (!ended) {
            std::array<pollfd, 3> wanted{pollfd{end_.get(), POLLIN, 0}, pollfd{out_.fd(), POLLIN, 0},
                                         pollfd{err_.fd(), POLLIN, 0}};
            const int ready = ::poll(wanted.data(), wanted.size(), -1);
            ended = (ready < 0 && errno != EINTR) || (ready > 0 && wanted[0].revents != 0);
            out_.read_available();
            err_.read_available();
        }
    }

    OutputCollector out_;
    OutputCollector err_;
    UniqueFd end_;
    std::jthread reader_; ///< last: it uses all of the above
};

/// What begins with the launcher's name is not what the program says of its file. If it only pretends, its
/// file is refused all the same.
void refuse_failed_launch(const ProcessResult& result) {
    if (result.status != 0 &&
        (result.err.starts_with("capsul-run: ") || result.err.starts_with("/usr/bin/env: "))) {
        throw Error(ErrorCode::not_capable, "the sandbox cannot be set up: " + first_line(result.err),
                    "`capsulctl doctor` tells what this host lacks");
    }
}

} // namespace

/// A run's unit file and pipes, gone with whatever happens to it.
class SandboxedTool::Unit {
  public:
    Unit(const SandboxedTool& tool, const ToolRun& run) : tool_(tool), name_(tool_unit_name(id_)) {
        make_folders(tool_.pipes());
        tool_.units_.write(name_, tool_unit(run, places_));
    }
    Unit(const Unit&) = delete;
    Unit& operator=(const Unit&) = delete;
    ~Unit() {
        remove_pipes();
        try {
            if (!ended_) { // it may not even have begun, of which its state tells nothing
                tool_.systemd_.stop(name_, patience);
            }
            tool_.systemd_.take_down(name_, patience);
            remove_pipes(); // one that was only now begun has made them anew
            tool_.units_.remove(name_);
        } catch (const Error&) {
            // The next start sweeps it.
        }
    }

    /// Runs it to its end.
    JobResult start(std::chrono::milliseconds limit, const Cancelled& cancelled) {
        const JobResult result = tool_.systemd_.start(name_, limit, cancelled);
        ended_ = true;
        return result;
    }

    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] const ToolPlaces& places() const noexcept { return places_; }

  private:
    void remove_pipes() const {
        std::error_code ignored;
        fs::remove(places_.out, ignored);
        fs::remove(places_.err, ignored);
    }

    const SandboxedTool& tool_;
    const Uuid id_ = Uuid::make();
    const std::string name_;
    const ToolPlaces places_{tool_.programs_, tool_.paths_.data, tool_.pipes() / (id_.to_string() + ".out"),
                             tool_.pipes() / (id_.to_string() + ".err")};
    bool ended_ = false;
};

void SandboxedTool::sweep() const {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(paths_.units, none)) {
        const std::string unit = entry.path().filename().string();
        if (!is_tool_unit(unit)) {
            continue;
        }
        try {
            systemd_.take_down(unit, patience);
        } catch (const Error&) {
            // Without systemd it does not run; and what a program does there is bounded in any case.
        }
        units_.remove(unit);
    }
    remove_whole(pipes());
    make_folders(pipes());
}

ProcessResult SandboxedTool::run(const ToolRun& run, const OnOutput& on_output,
                                 const Cancelled& cancelled) const {
    for (const fs::path& file : run.writable) {
        if (std::ranges::find(run.readable, file) == run.readable.end()) {
            static_cast<void>(open_file(file, O_WRONLY | O_CREAT | O_EXCL));
        }
    }
    Unit unit(*this, run);
    Outputs outputs(unit.places(), on_output);
    const JobResult job = unit.start(run.limits.time + patience, cancelled);
    const std::string program = fs::path(run.argv.at(0)).filename().string();
    ProcessResult result =
        outputs.finish(job == JobResult::done ? 0 : status_of_failure(unit.name(), program));
    refuse_failed_launch(result);
    return result;
}

int SandboxedTool::status_of_failure(const std::string& unit, const std::string& program) const {
    const ServiceStatus status = systemd_.status(unit);
    if (status.result == "timeout") {
        throw Error(ErrorCode::timeout, program + ": did not end in time and was stopped");
    }
    constexpr int no_sandbox = 78; // says capsul-run
    if (status.result == "exit-code" && was_run(status) && status.exec_main_status != no_sandbox) {
        return status.exec_main_status;
    }
    if (status.result == "signal" || status.result == "core-dump" || status.result == "oom-kill") {
        return 128 + status.exec_main_status;
    }
    throw Error(
        ErrorCode::not_capable,
        fmt::format("{}: systemd cannot run it in a sandbox (result {}, status {})", program, status.result,
                    status.exec_main_status),
        "`capsulctl doctor` tells what this host lacks, and `journalctl --user -e` what systemd says");
}

} // namespace capsul
