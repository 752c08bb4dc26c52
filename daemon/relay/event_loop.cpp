#include "daemon/relay/event_loop.hpp"

#include "lib/error.hpp"

#include <array>
#include <cerrno>
#include <sys/epoll.h>

namespace capsul::relay {

EventLoop::EventLoop() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) {
        throw_errno(errno, "epoll_create1");
    }
}

void EventLoop::run_once(std::chrono::milliseconds limit) {
    std::array<epoll_event, 128> events{};
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   static_cast<int>(limit.count()));
    if (count < 0 && errno != EINTR) {
        throw_errno(errno, "epoll_wait");
    }
    for (int i = 0; i < count; ++i) {
        const auto found = watches_.find(events.at(static_cast<std::size_t>(i)).data.u64);
        if (found != watches_.end() && found->second->events_ != 0) {
            found->second->ready_();
        }
    }
    graveyard_.clear();
}

Watch::Watch(EventLoop& loop, int fd, Ready ready)
    : loop_(loop), fd_(fd), ready_(std::move(ready)), id_(++loop.last_id_) {
    loop_.watches_.emplace(id_, this);
}

Watch::~Watch() {
    want(0);
    loop_.watches_.erase(id_);
}

void Watch::want(std::uint32_t events) {
    if (events == events_) {
        return;
    }
    epoll_event event{};
    event.events = events;
    event.data.u64 = id_;
    const int operation = events == 0 ? EPOLL_CTL_DEL : events_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (::epoll_ctl(loop_.epoll_.get(), operation, fd_, &event) != 0 && events != 0) {
        throw_errno(errno, "epoll_ctl");
    }
    events_ = events;
}

} // namespace capsul::relay
