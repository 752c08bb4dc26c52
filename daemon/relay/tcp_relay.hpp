// A TCP port: for each connection that comes, one to the guest, and what the one sends goes to the other.
#pragma once

#include "daemon/relay/event_loop.hpp"
#include "daemon/relay/relay.hpp"
#include "lib/socket_address.hpp"

#include <unordered_map>

namespace capsul::relay {

class TcpConnection;

class TcpRelay : public Relay {
  public:
    /// `listener` is bound and listens.
    TcpRelay(EventLoop& loop, UniqueFd listener, const SocketAddress& guest);
    ~TcpRelay() override;

    void tick(Clock::time_point now) override;
    [[nodiscard]] bool is_idle() const override { return connections_.empty(); }

  private:
    void accept_some();
    void serve(UniqueFd client, UniqueFd guest);
    void forget(const TcpConnection* connection);

    EventLoop& loop_;
    const SocketAddress guest_;
    const UniqueFd listener_;
    Watch watch_;
    std::unordered_map<const TcpConnection*, std::shared_ptr<TcpConnection>> connections_;
};

} // namespace capsul::relay
