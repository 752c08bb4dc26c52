// The other hosts of the VPN, and connections with them.
#pragma once

#include "lib/tls.hpp"
#include "lib/vpn.hpp"

#include <cstdint>
#include <vector>

namespace capsul::peer {

struct Member {
    NodeName name;
    Identity identity;
    IpAddress address; ///< its own, of the VPN
};

/// All others in the bundle that are not revoked.
[[nodiscard]] std::vector<Member> other_members(const VpnBundle& bundle, const Identity& own);

/// Through the VPN, from this host's own address, once each has shown its identity to the other. It tells
/// first: its bundle, or, at the end of the first receive(), that this host is not welcome.
class MemberConnection {
  public:
    /// Throws Error.
    MemberConnection(const PrivateIdentity& own, const Member& member, const IpAddress& own_address,
                     std::uint16_t port, Deadline deadline);
    [[nodiscard]] TlsChannel& channel() noexcept { return channel_; }
    /// What the kernel has measured on this connection.
    [[nodiscard]] double rtt_ms() const;

  private:
    const UniqueFd socket_;
    const TlsContext context_;
    TlsChannel channel_;
};

} // namespace capsul::peer
