// Datagrams that another host of the VPN gives back as they are: how long a packet takes there and back, and
// how large one may be. UDP, since Debian lets no user ping.
#pragma once

#include "lib/cidr.hpp"
#include "lib/tcp.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

namespace capsul::peer {

/// Where questions come in. No router may cut into pieces what is sent from there. Throws Error.
[[nodiscard]] UniqueFd echo_socket(const IpAddress& own, std::uint16_t port);

/// Gives back, for ever, what those ask that are welcome. An answer is no question: hosts do not go on and
/// on.
[[noreturn]] void answer_echoes(const UniqueFd& socket,
                                const std::function<bool(const IpAddress&)>& is_welcome);

/// The one who asks.
class Echo {
  public:
    /// Throws Error.
    Echo(const IpAddress& own, const IpAddress& target, std::uint16_t port);

    /// How long the answer took to an IPv4 packet of `size` bytes in all, and of the same size. Nothing when
    /// it does not get there or back in time.
    [[nodiscard]] std::optional<std::chrono::duration<double, std::milli>> ask(std::size_t size,
                                                                               Deadline deadline);

  private:
    [[nodiscard]] bool is_answered(Deadline deadline) const;

    const UniqueFd socket_;
    std::uint8_t number_ = 0;
};

} // namespace capsul::peer
