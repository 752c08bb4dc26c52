// Echo requests (RFC 792, RFC 4443) by the sockets that Linux lets users have for them: icmp(7),
// "ping_group_range".
#pragma once

#include "lib/cidr.hpp"
#include "lib/tcp.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

namespace capsul::peer {

class Ping {
  public:
    /// Throws Error: denied on a host whose users may not.
    explicit Ping(const IpAddress& target);

    /// How long the answer took to a packet of `size` bytes, its IP header among them, which no router may
    /// cut into pieces. Nothing when it does not get there or back in time. Throws Error.
    [[nodiscard]] std::optional<std::chrono::duration<double, std::milli>> echo(std::size_t size,
                                                                                Deadline deadline);

  private:
    [[nodiscard]] bool send(std::size_t size);
    [[nodiscard]] bool is_answered(Deadline deadline);

    bool is_ipv6_;
    UniqueFd socket_;
    std::uint16_t sequence_ = 0;
};

} // namespace capsul::peer
