#include "cli/relay.hpp"

#include "cli/terminal.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <poll.h>
#include <string_view>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

constexpr char leave_key = '\x1d'; // Ctrl-]

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

void send_all(int console, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(console, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            throw_errno(errno, "the console");
        }
        bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    }
}

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
            std::array<pollfd, 3> waiting{{{console_, POLLIN, 0},
                                           {input_open_ ? STDIN_FILENO : -1, POLLIN, 0},
                                           {signals_.fd(), POLLIN, 0}}};
            if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) {
                throw_errno(errno, "poll");
            }
            if (waiting[2].revents != 0) {
                take_signal();
            }
            if (ended_by_ != 0) {
                return RelayEnd::left;
            }
            if (waiting[0].revents != 0 && !pass_output()) {
                return RelayEnd::closed;
            }
            if (waiting[1].revents != 0 && !pass_input()) {
                return RelayEnd::left;
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

    /// False at the console's end, and when nobody reads on.
    bool pass_output() {
        const ssize_t got = ::read(console_, buffer_.data(), buffer_.size());
        if (got > 0) {
            out_.write({buffer_.data(), static_cast<std::size_t>(got)});
            out_.flush();
        }
        return (got > 0 && !out_.reader_gone()) || (got < 0 && errno == EINTR);
    }

    /// False when the user leaves.
    bool pass_input() {
        const ssize_t got = ::read(STDIN_FILENO, buffer_.data(), buffer_.size());
        if (got <= 0) {
            input_open_ = got < 0 && errno == EINTR;
            return !terminal_ || input_open_;
        }
        const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(got));
        const auto leave = terminal_ ? bytes.find(leave_key) : std::string_view::npos;
        send_all(console_, bytes.substr(0, leave));
        return leave == std::string_view::npos;
    }

    int console_;
    Output& out_;
    Signals signals_;
    std::optional<RawTerminal> terminal_;
    bool input_open_ = true;
    int ended_by_ = 0;
    std::array<char, 16384> buffer_{};
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
    if (signal != 0) {
        ::raise(signal);
    }
    return end;
}

} // namespace capsul::cli
