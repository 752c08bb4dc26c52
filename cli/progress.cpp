#include "cli/progress.hpp"

#include "cli/terminal.hpp"

#include <csignal>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

constexpr std::chrono::seconds grace{1}; ///< what is quicker needs no words
constexpr std::chrono::seconds plain_period{10};
constexpr std::chrono::milliseconds redraw_period{250};

/// Best effort: progress that cannot be told is no reason to fail.
void write_some(int fd, std::string_view text) {
    static_cast<void>(!::write(fd, text.data(), text.size()));
}

/// At most `width` columns of printable ASCII or whole UTF-8 characters (each counted as one).
std::string cut(const std::string& text, std::size_t width) {
    std::size_t columns = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool begins = (static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U;
        columns += begins ? 1 : 0;
        if (columns > width) {
            return text.substr(0, i);
        }
    }
    return text;
}

} // namespace

Progress::~Progress() {
    clear();
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Progress::show(const std::string& subject, const std::string& message, std::optional<int> percent) {
    if (mode_ == ProgressMode::none) {
        return;
    }
    const std::lock_guard lock(mutex_);
    if (!active_ || subject != subject_) {
        started_ = Clock::now();
        printed_message_.clear();
        printed_tenth_ = -1;
        printed_at_ = started_;
    }
    active_ = true;
    subject_ = subject;
    message_ = message;
    percent_ = percent;
    tick();
    if (!thread_.joinable()) {
        // Signals are the main thread's: this one only draws.
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        thread_ = std::thread([this] { run(); });
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
}

void Progress::clear() {
    const std::lock_guard lock(mutex_);
    active_ = false;
    erase();
}

void Progress::say(const std::string& line) {
    const std::lock_guard lock(mutex_);
    erase();
    write_some(fd_, line + '\n');
}

void Progress::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        wake_.wait_for(lock, redraw_period);
        tick();
    }
}

void Progress::tick() {
    if (!active_ || Clock::now() - started_ < grace) {
        return;
    }
    if (mode_ == ProgressMode::tty) {
        draw();
    } else {
        print_plain();
    }
}

void Progress::draw() {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count();
    std::string line = subject_ + ": " + message_;
    line += percent_ ? fmt::format(" {} %", *percent_) : "";
    line += fmt::format(" ({} s)", seconds);
    line = cut(printable(line), terminal_width(fd_).value_or(80) - 1);
    if (line != drawn_) {
        write_some(fd_, "\r" + line + "\x1b[K");
        drawn_ = line;
    }
}

void Progress::print_plain() {
    const auto now = Clock::now();
    const int tenth = percent_ ? *percent_ / 10 : -1;
    const bool news = percent_ ? tenth != printed_tenth_ : message_ != printed_message_;
    if (!news && now - printed_at_ < plain_period) {
        return;
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - started_).count();
    const std::string share = percent_ ? fmt::format(" {} %", *percent_) : "";
    write_some(fd_, printable(fmt::format("{}: {}{} ({} s)", subject_, message_, share, seconds)) + "\n");
    printed_message_ = message_;
    printed_tenth_ = tenth;
    printed_at_ = now;
}

void Progress::erase() {
    if (!drawn_.empty()) {
        write_some(fd_, "\r\x1b[K");
        drawn_.clear();
    }
}

} // namespace capsul::cli
