#include "cli/run_command.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

/// Those of the keyboard, which are the program's meanwhile, as with system(3); and that it reads no more.
constexpr std::array<int, 3> passed_over{SIGINT, SIGQUIT, SIGPIPE};

/// Whether one of the keyboard's came.
volatile std::sig_atomic_t interruption = 0;

void note_interruption(int /*signal*/) {
    interruption = 1;
}

/// While it is there, these pass us by; those of the keyboard are noted, since a program that catches them
/// ends as it likes.
class Deafness {
  public:
    Deafness() {
        interruption = 0;
        for (std::size_t i = 0; i < passed_over.size(); ++i) {
            struct sigaction action {};
            // NOLINTNEXTLINE(*-old-style-cast,*-union-access): so is signal.h
            action.sa_handler = passed_over.at(i) == SIGPIPE ? SIG_IGN : note_interruption;
            ::sigaction(passed_over.at(i), &action, &before_.at(i));
        }
    }
    ~Deafness() {
        for (std::size_t i = 0; i < passed_over.size(); ++i) {
            ::sigaction(passed_over.at(i), &before_.at(i), nullptr);
        }
    }
    Deafness(const Deafness&) = delete;
    Deafness& operator=(const Deafness&) = delete;

    [[nodiscard]] static bool was_interrupted() { return interruption != 0; }

  private:
    std::array<struct sigaction, passed_over.size()> before_{};
};

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw_errno(errno, "a pipe");
    }
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// How the program starts: its descriptors, and the signals that we do not handle as others do.
class Start {
  public:
    Start(int in, int out) {
        ::posix_spawn_file_actions_init(&actions_);
        ::posix_spawn_file_actions_adddup2(&actions_, in, STDIN_FILENO);
        ::posix_spawn_file_actions_adddup2(&actions_, out, STDOUT_FILENO);
        ::posix_spawnattr_init(&attributes_);
        sigset_t usual;
        ::sigemptyset(&usual);
        for (const int signal : passed_over) {
            ::sigaddset(&usual, signal);
        }
        ::posix_spawnattr_setsigdefault(&attributes_, &usual);
        ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF);
    }
    ~Start() {
        ::posix_spawn_file_actions_destroy(&actions_);
        ::posix_spawnattr_destroy(&attributes_);
    }
    Start(const Start&) = delete;
    Start& operator=(const Start&) = delete;

    [[nodiscard]] pid_t run(const std::vector<std::string>& words) const {
        std::vector<char*> argv;
        for (const std::string& word : words) {
            argv.push_back(const_cast<char*>(word.c_str())); // NOLINT(*-const-cast): it is not written to
        }
        argv.push_back(nullptr);
        pid_t pid = -1;
        const int failure = ::posix_spawnp(&pid, argv.front(), &actions_, &attributes_, argv.data(), environ);
        if (failure != 0) {
            throw Error(
                failure == ENOENT ? ErrorCode::not_capable : ErrorCode::internal,
                fmt::format("cannot run {}: {}", words.front(), std::generic_category().message(failure)));
        }
        return pid;
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

/// Ends and reaps a program that is no longer of use, unless it was waited for.
class Child {
  public:
    explicit Child(pid_t pid) : pid_(pid) {}
    ~Child() {
        if (pid_ > 0) {
            ::kill(pid_, SIGTERM);
            static_cast<void>(wait());
        }
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

  private:
    pid_t pid_;
};

/// Passes on what the program takes now; closes `fd` at the end, or when it takes no more.
void feed(UniqueFd& fd, std::string_view& input) {
    const ssize_t written = ::write(fd.get(), input.data(), input.size());
    if (written > 0) {
        input.remove_prefix(static_cast<std::size_t>(written));
    }
    const bool later = written < 0 && (errno == EAGAIN || errno == EINTR);
    if (input.empty() || (written < 0 && !later)) {
        fd.reset();
    }
}

/// Takes what there is; false at the end.
bool drain(int fd, std::string& out) {
    std::array<char, 65536> piece{};
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno != EINTR && errno != EAGAIN) {
        throw_errno(errno, "what a program prints");
    }
    out.append(piece.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return got != 0;
}

/// Both ways at once: a program may print before it has read all.
std::string converse(UniqueFd in, std::string_view input, int out_fd, std::size_t limit) {
    ::fcntl(in.get(), F_SETFL, O_NONBLOCK); // NOLINT(*-vararg)
    std::string out;
    if (input.empty()) {
        in.reset();
    }
    for (bool more = true; more;) {
        std::array<pollfd, 2> polled{{{out_fd, POLLIN, 0}, {in.get(), POLLOUT, 0}}}; // -1 is passed over
        if (::poll(polled.data(), polled.size(), -1) < 0) {
            continue; // EINTR
        }
        if (polled[1].revents != 0) {
            feed(in, input);
        }
        if (polled[0].revents != 0) {
            more = drain(out_fd, out);
        }
        if (out.size() > limit) {
            throw Error(ErrorCode::too_large, fmt::format("printed more than {} KiB", limit >> 10U));
        }
    }
    return out;
}

} // namespace

CommandResult run_command(const std::vector<std::string>& argv, std::string_view input, std::size_t limit) {
    const Deafness deaf;
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Child child(Start(in.read.get(), out.write.get()).run(argv));
    in.read.reset();
    out.write.reset();
    CommandResult result;
    result.out = converse(std::move(in.write), input, out.read.get(), limit);
    result.status = child.wait();
    result.interrupted = Deafness::was_interrupted();
    return result;
}

} // namespace capsul::cli
