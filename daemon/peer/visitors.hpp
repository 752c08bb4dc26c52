// Those who have connected: each is served on a thread of its own, within limits, so that somebody who opens
// connections without end takes little from others.
#pragma once

#include "lib/cidr.hpp"
#include "lib/fd.hpp"

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>

namespace capsul::peer {

/// Lives as long as the process.
class Visitors {
  public:
    class Visitor {
      public:
        [[nodiscard]] int socket() const noexcept { return socket_.get(); }
        [[nodiscard]] const IpAddress& from() const noexcept { return from_; }

      private:
        friend class Visitors;
        Visitor(UniqueFd socket, const IpAddress& from) : socket_(std::move(socket)), from_(from) {}

        UniqueFd socket_;
        IpAddress from_;
        bool settled_ = false;
        bool cut_off_ = false;
    };
    /// Returns false for somebody who is none of ours, whose place is free again only after a while.
    using Serve = std::function<bool(const Visitor&)>;

    /// At most `at_once`, and `each` from one IPv4 address or IPv6 /64.
    Visitors(std::size_t at_once, std::size_t each, Serve serve);
    Visitors(const Visitors&) = delete;
    Visitors& operator=(const Visitors&) = delete;

    /// When all places are taken, the one who has been there longest without being settled is cut off; when
    /// that is not enough, or there are enough from there, this one is.
    void admit(UniqueFd socket, const IpAddress& from);
    /// This one has shown to be one of ours: never cut off for others.
    void settle(const Visitor& visitor);

  private:
    using List = std::list<Visitor>;
    bool has_place(const IpAddress& from);
    void attend(List::iterator visitor);

    const std::size_t at_once_;
    const std::size_t each_;
    const Serve serve_;
    std::mutex mutex_;
    std::condition_variable changed_;
    List visitors_; ///< who came first is the first
};

} // namespace capsul::peer
