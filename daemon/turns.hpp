// One after the other, for what is not known by a queue's name beforehand.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

namespace capsul {

/// Thread-safe; outlives every turn.
class Turns {
  public:
    class Turn {
      public:
        Turn(Turns& turns, std::string what) : turns_(turns), what_(std::move(what)) {}
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        ~Turn() { turns_.give_back(what_); }

      private:
        Turns& turns_;
        const std::string what_;
    };

    /// Waits until nobody else has it.
    [[nodiscard]] Turn take(const std::string& what) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return !taken_.contains(what); });
        taken_.insert(what);
        return {*this, what};
    }

  private:
    void give_back(const std::string& what) {
        const std::lock_guard lock(mutex_);
        taken_.erase(what);
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::set<std::string> taken_;
};

} // namespace capsul
