// Waiting for many descriptors at once, by epoll(7), level-triggered. One thread.
#pragma once

#include "lib/fd.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace capsul::relay {

class Watch;

class EventLoop {
  public:
    EventLoop();

    /// Waits for events up to `limit` and calls who watches.
    void run_once(std::chrono::milliseconds limit);
    /// Keeps something that has done its work until the calls of this round have returned: one of them may be
    /// its own.
    void bury(std::shared_ptr<void> finished) { graveyard_.push_back(std::move(finished)); }

  private:
    friend class Watch;

    const UniqueFd epoll_;
    std::uint64_t last_id_ = 0;
    std::unordered_map<std::uint64_t, Watch*> watches_; ///< by id: descriptors are used again
    std::vector<std::shared_ptr<void>> graveyard_;
};

/// A descriptor that is watched, from the first want() until this ends or the descriptor is closed.
class Watch {
  public:
    using Ready = std::function<void()>;

    Watch(EventLoop& loop, int fd, Ready ready);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch();

    /// From now on calls `ready` while any of `events` (EPOLLIN, EPOLLOUT) or an error is there; with 0, not
    /// even on errors.
    void want(std::uint32_t events);

  private:
    friend class EventLoop;

    EventLoop& loop_;
    const int fd_;
    const Ready ready_;
    const std::uint64_t id_;
    std::uint32_t events_ = 0;
};

} // namespace capsul::relay
