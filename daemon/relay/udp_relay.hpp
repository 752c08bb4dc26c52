// A UDP port: each client gets a socket of its own towards the guest, and what the guest answers there goes
// back to that client, from the address that it wrote to.
#pragma once

#include "daemon/relay/event_loop.hpp"
#include "daemon/relay/relay.hpp"
#include "lib/socket_address.hpp"

#include <list>
#include <string>
#include <unordered_map>

namespace capsul::relay {

class UdpRelay : public Relay {
  public:
    /// `port` is bound, and tells of each datagram where it was sent to (IP_PKTINFO in ip(7),
    /// IPV6_RECVPKTINFO in ipv6(7)).
    UdpRelay(EventLoop& loop, UniqueFd port, const SocketAddress& guest);

    /// Forgets clients that have been silent, and were not answered, for two minutes (RFC 4787, REQ-5).
    void tick(Clock::time_point now) override;
    [[nodiscard]] bool is_idle() const override { return sessions_.empty(); }

  private:
    struct Session {
        std::string key;
        SocketAddress client;
        std::string control; ///< for sendmsg(2): which address of this host it wrote to
        Clock::time_point last_used;
        UniqueFd guest;
        std::unique_ptr<Watch> watch; // after the descriptor
    };
    using Sessions = std::list<Session>;

    void take_some();
    bool take_one();
    Session* session_of(const SocketAddress& client, std::string control);
    Session* open_session(const SocketAddress& client, std::string control, std::string key);
    void answer_some(const Session& session);
    void touch(const Session& session);
    void drop_oldest();

    EventLoop& loop_;
    const SocketAddress guest_;
    const UniqueFd port_;
    Sessions sessions_; ///< the one used last is the first
    std::unordered_map<std::string, Sessions::iterator> by_key_;
    Watch watch_;
};

} // namespace capsul::relay
