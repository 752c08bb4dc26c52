// What one thread leaves for another: a value or an Error. As std::promise and std::future together, but the
// Error is made anew by who waits: an exception object shared between threads looks like a race to
// ThreadSanitizer.
#pragma once

#include "lib/error.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace capsul {

template <class T>
class Outcome {
  public:
    void set(T value) {
        const std::lock_guard lock(mutex_);
        value_ = std::move(value);
        changed_.notify_all();
    }

    void fail(const Error& error) {
        const std::lock_guard lock(mutex_);
        failure_ = Failure{error.code(), error.what(), error.hint()};
        changed_.notify_all();
    }

    /// The value, once; nothing when there is none after `limit`. Throws the Error, and Error (unreachable)
    /// soon after `cancelled`, where it is given, says that capsuld is stopping.
    [[nodiscard]] std::optional<T> wait(std::chrono::milliseconds limit,
                                        const std::function<bool()>& cancelled = {}) {
        using Clock = std::chrono::steady_clock;
        std::unique_lock lock(mutex_);
        const auto deadline = Clock::now() + limit;
        const auto is_there = [&] { return value_ || failure_; };
        while (!is_there() && Clock::now() < deadline) {
            if (cancelled && cancelled()) {
                throw Error(ErrorCode::unreachable, "capsuld is stopping", "what systemd was told goes on");
            }
            const auto look_again = cancelled ? Clock::now() + std::chrono::milliseconds(250) : deadline;
            changed_.wait_until(lock, std::min(deadline, look_again), is_there);
        }
        if (failure_) {
            throw Error(failure_->code, failure_->message, failure_->hint);
        }
        return std::exchange(value_, std::nullopt);
    }

  private:
    struct Failure {
        ErrorCode code;
        std::string message;
        std::string hint;
    };

    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<T> value_;
    std::optional<Failure> failure_;
};

} // namespace capsul
