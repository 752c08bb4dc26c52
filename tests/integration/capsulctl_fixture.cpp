#include "tests/integration/capsulctl_fixture.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace capsul::test {
namespace {

using namespace std::chrono_literals;

std::vector<char*> pointers(std::vector<std::string>& words) {
    std::vector<char*> all;
    for (std::string& word : words) {
        all.push_back(word.data());
    }
    all.push_back(nullptr);
    return all;
}

struct Ends {
    UniqueFd read;
    UniqueFd write;
};
Ends make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw std::runtime_error("pipe");
    }
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool is_ready(int fd, short events, int milliseconds) {
    pollfd polled{fd, events, 0};
    return ::poll(&polled, 1, milliseconds) == 1;
}

StreamResponse stream_of(const std::string& text) {
    Ends ends = make_pipe();
    write_all(ends.write.get(), text, "a pipe");
    return {"application/x-ndjson", std::move(ends.read), nullptr};
}

} // namespace

MadeUpDaemon::MadeUpDaemon() {
    router.add<OperationFollow>([this](const OperationFollow& call) {
        const std::lock_guard lock(mutex_);
        return stream_of(dump_json(encode(operations_.at(call.id))) + '\n');
    });
}

MadeUpDaemon::~MadeUpDaemon() {
    stop();
}

void MadeUpDaemon::stop() {
    if (server_) {
        server_->stop();
        thread_.join();
        server_.reset();
    }
}

void MadeUpDaemon::serve() {
    std::vector<UniqueFd> listeners;
    listeners.push_back(listen_unix(socket()));
    server_ = std::make_unique<Server>(router, ServerConfig{}, std::move(listeners), ::geteuid(),
                                       Patience{.stop = 100ms});
    thread_ = std::thread([this] { server_->run(1s, [] {}); });
}

Operation MadeUpDaemon::ended(const std::optional<Json>& result, const std::optional<Problem>& error) {
    ++calls;
    const std::lock_guard lock(mutex_);
    Operation operation;
    operation.id = Uuid::make();
    operation.kind = "made.up";
    operation.state = error ? OperationState::failed : OperationState::done;
    operation.result = result;
    operation.error = error;
    return operations_[operation.id] = operation;
}

Capsulctl::Capsulctl(const MadeUpDaemon& daemon, const std::vector<std::string>& words, On on) {
    std::signal(SIGPIPE, SIG_IGN); // NOLINT(*-old-style-cast): it may end before it has read its input
    std::vector<std::string> argv{CAPSULCTL};
    argv.insert(argv.end(), words.begin(), words.end());
    std::vector<std::string> environment{"CAPSUL_SOCKET=" + daemon.socket().string(),
                                         "HOME=" + daemon.folder().string(), "TERM=xterm",
                                         "PATH=" + daemon.programs().string() + ":/usr/bin:/bin"};
    const std::vector<char*> argv_pointers = pointers(argv);
    const std::vector<char*> environment_pointers = pointers(environment);
    Ends in = make_pipe();
    Ends out_ends = make_pipe();
    Ends err_ends = make_pipe();
    int master = -1;
    pid_ = on == On::terminal ? ::forkpty(&master, nullptr, nullptr, nullptr) : ::fork();
    if (pid_ == 0) {
        if (on == On::pipes) {
            ::dup2(in.read.get(), STDIN_FILENO);
            ::dup2(out_ends.write.get(), STDOUT_FILENO);
            ::dup2(err_ends.write.get(), STDERR_FILENO);
        }
        ::execve(argv_pointers.front(), argv_pointers.data(), environment_pointers.data());
        ::_exit(127);
    }
    pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    if (on == On::terminal) {
        output_ = UniqueFd(master);
        input_ = UniqueFd(::fcntl(master, F_DUPFD_CLOEXEC, 3));
    } else {
        input_ = std::move(in.write);
        output_ = std::move(out_ends.read);
        errors_ = std::move(err_ends.read);
    }
    ::fcntl(input_.get(), F_SETFL, O_NONBLOCK | O_RDWR);
}

Capsulctl::~Capsulctl() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
}

bool Capsulctl::type(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(input_.get(), bytes.data(), bytes.size());
        if (written < 0 && (errno != EAGAIN || !is_ready(input_.get(), POLLOUT, 3'000))) {
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
    }
    return true;
}

bool Capsulctl::read_some() {
    std::array<char, 65536> piece{};
    if (!is_ready(output_.get(), POLLIN, 10'000)) {
        return false;
    }
    const ssize_t got = ::read(output_.get(), piece.data(), piece.size());
    out.append(piece.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return got > 0;
}

bool Capsulctl::shows(const std::string& text) {
    while (out.find(text) == std::string::npos) {
        if (!read_some()) {
            return false;
        }
    }
    return true;
}

void Capsulctl::send_signal(int number) const {
    ::kill(pid_, number);
}

bool Capsulctl::ends() const {
    return is_ready(pidfd_.get(), POLLIN, 10'000);
}

int Capsulctl::wait() {
    while (read_some()) {
    }
    if (errors_) {
        std::string piece(65536, '\0');
        while (is_ready(errors_.get(), POLLIN, 10'000)) {
            const ssize_t got = ::read(errors_.get(), piece.data(), piece.size());
            if (got <= 0) {
                break;
            }
            err.append(piece, 0, static_cast<std::size_t>(got));
        }
    }
    if (!ends()) {
        return -1;
    }
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Outcome run_capsulctl(const MadeUpDaemon& daemon, const std::vector<std::string>& words, Capsulctl::On on) {
    Capsulctl run(daemon, words, on);
    if (on == Capsulctl::On::pipes) {
        run.end_of_input();
    }
    const int code = run.wait();
    return {code, run.out, run.err};
}

Vm made_up_vm(const std::string& name, VmState state) {
    Vm vm;
    vm.name = Name::parse(name);
    vm.state = state;
    vm.unit = "capsul-vm-" + name + ".service";
    return vm;
}

} // namespace capsul::test
