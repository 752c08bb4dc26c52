#include "cli/relay.hpp"

#include "cli/terminal.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

constexpr std::size_t input_limit = std::size_t{1} << 20U; ///< of what waits for the console
constexpr char leave_key = '\x1d';                         // Ctrl-]

/// Every key goes through, none acts here, while this lives.
class RawTerminal {
  public:
    explicit RawTerminal(int fd) : fd_(fd) {
        if (::tcgetattr(fd_, &before_) != 0) {
            throw_errno(errno, "the terminal");
        }
        set();
    }
    RawTerminal(const RawTerminal&) = delete;
    RawTerminal& operator=(const RawTerminal&) = delete;
    ~RawTerminal() { ::tcsetattr(fd_, TCSADRAIN, &before_); }

    void set() const {
        termios raw = before_;
        ::cfmakeraw(&raw);
        ::tcsetattr(fd_, TCSADRAIN, &raw);
    }

  private:
    int fd_;
    termios before_{};
};

/// Signals that would end us become readable, so that the terminal is put back first.
class Signals {
  public:
    Signals() {
        sigset_t set;
        ::sigemptyset(&set);
        for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGCONT}) {
            ::sigaddset(&set, number);
        }
        ::pthread_sigmask(SIG_BLOCK, &set, &before_);
        fd_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    Signals(const Signals&) = delete;
    Signals& operator=(const Signals&) = delete;
    ~Signals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

    [[nodiscard]] int fd() const { return fd_.get(); }
    /// The signal that has come, or 0.
    [[nodiscard]] int take() const {
        signalfd_siginfo info{};
        return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
    }

  private:
    sigset_t before_{};
    UniqueFd fd_;
};

/// What is polled for `events`, or not at all: a peer that has hung up must not wake us for nothing.
pollfd polled(int fd, int events) {
    return {events == 0 ? -1 : fd, static_cast<short>(events), 0};
}

/// Never blocks but in poll, where signals are seen: neither a console nor a reader that takes nothing keeps
/// a user from leaving.
class Relay {
  public:
    Relay(int console, Output& out) : console_(console), out_(out) {
        if (is_terminal(STDIN_FILENO)) {
            terminal_.emplace(STDIN_FILENO);
        }
    }

    /// How it ended; a signal ends it too.
    RelayEnd run() {
        while (true) {
            const int from_console = output_.empty() ? POLLIN : 0;
            const int to_console = input_.empty() ? 0 : POLLOUT;
            std::array<pollfd, 4> waiting{{polled(console_, from_console | to_console),
                                           polled(STDIN_FILENO, may_read_input() ? POLLIN : 0),
                                           polled(out_.fd(), output_.empty() ? 0 : POLLOUT),
                                           polled(signals_.fd(), POLLIN)}};
            if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) {
                throw_errno(errno, "poll");
            }
            if (waiting[3].revents != 0) {
                take_signal();
            }
            if (ended_by_ != 0) {
                return RelayEnd::left;
            }
            if (waiting[1].revents != 0 && !take_input()) {
                return RelayEnd::left;
            }
            if (waiting[2].revents != 0 && !pass_output()) {
                return RelayEnd::closed;
            }
            if ((waiting[0].revents & POLLOUT) != 0) {
                pass_input();
            }
            if ((waiting[0].revents & ~POLLOUT) != 0 && output_.empty() && !take_output()) {
                return RelayEnd::closed;
            }
        }
    }

    /// 0 when no signal ended it.
    [[nodiscard]] int ended_by() const { return ended_by_; }

  private:
    void take_signal() {
        const int signal = signals_.take();
        if (signal != SIGCONT) {
            ended_by_ = signal;
        } else if (terminal_) {
            terminal_->set(); // the shell had its own settings meanwhile
        }
    }

    /// A person's keys are always read: one of them may be the one to leave by.
    [[nodiscard]] bool may_read_input() const {
        return input_open_ && (terminal_ || input_.size() < input_limit);
    }

    /// False at the console's end.
    bool take_output() {
        const ssize_t got = ::recv(console_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (got > 0) {
            output_.assign(buffer_.data(), static_cast<std::size_t>(got));
        }
        return got > 0 || (got < 0 && is_passing(errno));
    }

    /// False when nobody reads on.
    bool pass_output() {
        out_.write(output_); // not more than a pipe that polls as writable takes at once
        out_.flush();
        output_.clear();
        return !out_.reader_gone();
    }

    /// False when the user leaves.
    bool take_input() {
        const ssize_t got = ::read(STDIN_FILENO, buffer_.data(), buffer_.size());
        if (got <= 0) {
            input_open_ = got < 0 && is_passing(errno);
            return !terminal_ || input_open_;
        }
        const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
        const auto leave = terminal_ ? bytes.find(leave_key) : std::string_view::npos;
        if (input_.size() < input_limit) { // else typed in vain: the console has long taken nothing
            input_ += bytes.substr(0, leave);
        }
        pass_input();
        return leave == std::string_view::npos;
    }

    void pass_input() {
        const ssize_t sent = ::send(console_, input_.data(), input_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && !is_passing(errno)) {
            input_.clear(); // its end is seen when it is read
        }
        input_.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    }

    static bool is_passing(int number) { return number == EINTR || number == EAGAIN; }

    int console_;
    Output& out_;
    Signals signals_;
    std::optional<RawTerminal> terminal_;
    bool input_open_ = true;
    int ended_by_ = 0;
    std::string input_;  ///< for the console, which has not taken it yet
    std::string output_; ///< for out_, likewise
    std::array<char, PIPE_BUF> buffer_{};
};

} // namespace

RelayEnd relay_console(int console, Output& out) {
    int signal = 0;
    RelayEnd end = RelayEnd::left;
    {
        Relay relay(console, out);
        end = relay.run();
        signal = relay.ended_by();
    }
    if (is_terminal(out.fd())) {
        out.write(plain_rendition); // a guest may have left any on
        out.flush();
    }
    if (signal != 0) {
        ::raise(signal);
    }
    return end;
}

} // namespace capsul::cli
