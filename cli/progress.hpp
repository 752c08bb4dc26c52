// Tells on standard error how long work is going on: on a terminal one line that is redrawn, elsewhere a line
// now and then.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace capsul::cli {

enum class ProgressMode { none, plain, tty };

/// Silent for the first second of anything. Thread-safe.
class Progress {
  public:
    explicit Progress(ProgressMode mode, int fd = 2) : mode_(mode), fd_(fd) {}
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// What goes on now. The clock starts anew when `subject` ("vm web") changes.
    void show(const std::string& subject, const std::string& message, std::optional<int> percent);
    /// The work has ended: the line on the terminal goes away.
    void clear();
    /// A whole line of another kind, which does not mix with the one that is redrawn.
    void say(const std::string& line);

  private:
    using Clock = std::chrono::steady_clock;
    void run();
    void tick();
    void draw();
    void print_plain();
    void erase();

    const ProgressMode mode_;
    const int fd_;
    std::mutex mutex_; ///< of all below
    std::condition_variable wake_;
    bool active_ = false;
    bool stopping_ = false;
    std::string drawn_; ///< what the terminal shows
    std::string subject_;
    std::string message_;
    std::optional<int> percent_;
    Clock::time_point started_;
    std::string printed_message_; ///< the last plain line: what it said, and when
    int printed_tenth_ = -1;
    Clock::time_point printed_at_;
    std::thread thread_;
};

} // namespace capsul::cli
