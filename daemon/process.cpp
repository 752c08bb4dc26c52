#include "daemon/process.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <string_view>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace capsul {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array<std::string_view, 4> system_folders{"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

struct Pipe {
    UniqueFd read_end;
    UniqueFd write_end;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw_errno(errno, "pipe");
    }
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// All that the child needs, made before the fork: after it only async-signal-safe calls are allowed.
struct Launch {
    std::string path;
    std::vector<const char*> argv;
    int out = -1;
    int err = -1;
    int failure = -1; ///< the child writes errno here when it cannot exec
    UniqueFd null = open_file("/dev/null", O_RDWR);
    std::vector<std::pair<int, rlimit>> limits{{RLIMIT_CORE, rlimit{0, 0}}};
};

/// Blocks every signal while it lives: a handler of the daemon must not run in a child that has not exec'd
/// yet.
class SignalsBlocked {
  public:
    SignalsBlocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_{};
};

// From here to exec_child: async-signal-safe only. No allocation, no exception, no lock.

void reset_signals_in_child() noexcept {
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal) {
        ::sigaction(signal, &standard, nullptr);
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

bool set_streams_in_child(int in, int out, int err) noexcept {
    // First out of the way of 0, 1 and 2, which are free when the daemon was started without them.
    in = ::fcntl(in, F_DUPFD_CLOEXEC, 3);   // NOLINT(cppcoreguidelines-pro-type-vararg)
    out = ::fcntl(out, F_DUPFD_CLOEXEC, 3); // NOLINT(cppcoreguidelines-pro-type-vararg)
    err = ::fcntl(err, F_DUPFD_CLOEXEC, 3); // NOLINT(cppcoreguidelines-pro-type-vararg)
    return ::dup2(in, STDIN_FILENO) >= 0 && ::dup2(out, STDOUT_FILENO) >= 0 &&
           ::dup2(err, STDERR_FILENO) >= 0;
}

[[noreturn]] void exec_child(const Launch& launch, char* const* argv, char* const* environment) noexcept {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    const int failure = ::fcntl(launch.failure, F_DUPFD_CLOEXEC, 3);
    bool ready = ::setpgid(0, 0) == 0 && set_streams_in_child(launch.null.get(), launch.out, launch.err);
    // Whatever a library of the daemon opened without O_CLOEXEC stays here.
    ready = ready && ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
    for (const auto& [resource, limit] : launch.limits) {
        ready = ready && ::setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
    }
    reset_signals_in_child();
    if (ready) {
        ::execve(launch.path.c_str(), argv, environment);
    }
    const int number = errno;
    [[maybe_unused]] const ssize_t written = ::write(failure, &number, sizeof number);
    ::_exit(127);
}

void reap(pid_t pid, int* status) noexcept {
    while (::waitpid(pid, status, 0) < 0 && errno == EINTR) {
    }
}

/// Forks and execs; returns once the program is running, in a process group of its own.
pid_t spawn(Launch& launch) {
    Pipe failure = make_pipe();
    launch.failure = failure.write_end.get();
    std::array<char*, 4> environment{const_cast<char*>("LC_ALL=C.UTF-8"), // NOLINT: the exec API takes char*
                                     const_cast<char*>(one_arena),        // NOLINT: as above
                                     const_cast<char*>(system_path), nullptr};
    const pid_t pid = [&] {
        const SignalsBlocked blocked;
        const pid_t child = ::fork();
        if (child == 0) {
            exec_child(launch, const_cast<char* const*>(launch.argv.data()), environment.data()); // NOLINT
        }
        return child;
    }();
    if (pid < 0) {
        throw_errno(errno, "fork");
    }
    failure.write_end.reset();
    int number = 0;
    ssize_t got = 0;
    while ((got = ::read(failure.read_end.get(), &number, sizeof number)) < 0 && errno == EINTR) {
    }
    if (got != 0) {
        reap(pid, nullptr);
        throw_errno(number, launch.path);
    }
    return pid;
}

Launch make_launch(const std::vector<std::string>& argv) {
    if (argv.empty()) {
        throw Error(ErrorCode::internal, "a program to run has no name");
    }
    Launch launch;
    launch.path = find_program(argv.front());
    for (const std::string& argument : argv) {
        launch.argv.push_back(argument.c_str());
    }
    launch.argv.push_back(nullptr);
    return launch;
}

void add_limits(Launch& launch, const ProcessLimits& limits) {
    const auto add = [&](int resource, const std::optional<std::uint64_t>& value) {
        if (value) {
            launch.limits.push_back({resource, rlimit{*value, *value}});
        }
    };
    add(RLIMIT_AS, limits.memory_bytes);
    add(RLIMIT_CPU, limits.cpu_seconds);
    add(RLIMIT_FSIZE, limits.file_bytes);
}

int open_pidfd(pid_t pid) {
    // The C library's pidfd_open has no C linkage in glibc 2.36's header.
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); // NOLINT(cppcoreguidelines-pro-type-vararg)
}

/// A running child in its own process group; what still runs of the group is killed when this goes.
class ProcessGroup {
  public:
    explicit ProcessGroup(pid_t pid) : pid_(pid), pidfd_(open_pidfd(pid)) {}
    ProcessGroup(const ProcessGroup&) = delete;
    ProcessGroup& operator=(const ProcessGroup&) = delete;
    ~ProcessGroup() {
        if (pid_ > 0) {
            finish();
        }
    }

    [[nodiscard]] int pidfd() const { return pidfd_.get(); }

    /// Kills what is left of the group and reaps the child. The group goes first: until it is reaped, nobody
    /// else can get its number.
    int finish() noexcept {
        ::kill(-pid_, SIGKILL);
        int status = 0;
        reap(std::exchange(pid_, -1), &status);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

  private:
    pid_t pid_;
    UniqueFd pidfd_;
};

int milliseconds_until(Clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

/// Collects until the child itself has ended. A grandchild that still holds the pipes is not waited for.
void collect_until_end(int pidfd, std::array<OutputCollector, 2>& outputs, Clock::time_point deadline,
                       const std::string& program) {
    while (true) {
        std::array<pollfd, 3> wanted{pollfd{pidfd, POLLIN, 0}, pollfd{outputs[0].fd(), POLLIN, 0},
                                     pollfd{outputs[1].fd(), POLLIN, 0}};
        const int ready = ::poll(wanted.data(), wanted.size(), milliseconds_until(deadline));
        if (ready < 0 && errno != EINTR) {
            throw_errno(errno, "poll");
        }
        for (OutputCollector& output : outputs) {
            output.read_available();
        }
        if (ready > 0 && wanted[0].revents != 0) {
            return;
        }
        if (Clock::now() >= deadline) {
            throw Error(ErrorCode::timeout, program + ": did not end in time and was killed");
        }
    }
}

} // namespace

std::string find_program(const std::string& program) {
    if (program.starts_with('/') && ::access(program.c_str(), X_OK) == 0) {
        return program;
    }
    for (const std::string_view folder : system_folders) {
        std::string path = fmt::format("{}/{}", folder, program);
        if (program.find('/') == std::string::npos && ::access(path.c_str(), X_OK) == 0) {
            return path;
        }
    }
    throw Error(ErrorCode::not_capable, program + ": no such program on this host",
                "install the package that has " + program);
}

ProcessResult run_process(const std::vector<std::string>& argv, std::chrono::milliseconds limit,
                          const ProcessLimits& limits, const OnOutput& on_output) {
    const Clock::time_point deadline = Clock::now() + limit;
    Launch launch = make_launch(argv);
    add_limits(launch, limits);
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    launch.out = out.write_end.get();
    launch.err = err.write_end.get();
    ProcessGroup group(spawn(launch));
    out.write_end.reset();
    err.write_end.reset();
    if (group.pidfd() < 0) {
        throw_errno(errno, "pidfd_open");
    }
    std::array<OutputCollector, 2> outputs{OutputCollector(std::move(out.read_end), on_output),
                                           OutputCollector(std::move(err.read_end))};
    collect_until_end(group.pidfd(), outputs, deadline, argv.front());
    for (OutputCollector& output : outputs) {
        output.read_available(); // what it wrote between the last look and its end
    }
    return {group.finish(), outputs[0].take_text(), outputs[1].take_text()};
}

std::string first_line(std::string_view said) {
    std::string line(said.substr(0, std::min(said.find('\n'), std::size_t{300})));
    std::ranges::replace_if(
        line, [](char c) { return c < ' ' || c > '~'; }, '?');
    return line;
}

ChildProcess::ChildProcess(const std::vector<std::string>& argv) {
    Launch launch = make_launch(argv);
    Pipe out = make_pipe();
    launch.out = out.write_end.get();
    launch.err = STDERR_FILENO; // its complaints belong in the daemon's log
    pid_ = spawn(launch);
    output_ = std::move(out.read_end);
}

ChildProcess::~ChildProcess() {
    ::kill(-pid_, SIGKILL);
    reap(pid_, nullptr);
}

} // namespace capsul
