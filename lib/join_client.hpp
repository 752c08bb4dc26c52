// The joining host's side of an invitation; see lib/join_code.hpp.
#pragma once

#include "lib/join_code.hpp"
#include "lib/tls.hpp"

#include <memory>

namespace capsul {

class JoinClient {
  public:
    /// Connects to the first of the code's addresses where a host has its secret. Throws Error (unreachable;
    /// verification when other hosts only answer).
    explicit JoinClient(const JoinCode& code);

    /// What the inviting host has for this one, which wants to be `node`. It waits for joining_time. Throws
    /// Error: as the other host says, or verification when it is not of the host that the code is of.
    [[nodiscard]] VpnBundle hello(const NodeName& node);
    /// `own` is of this host, on the slice that was kept. Returns when the other host has taken it in; throws
    /// Error as above.
    void hand_over(const VpnBundle& own);

  private:
    JoinAnswer answer(Deadline deadline);

    JoinCode code_;
    TlsContext context_;
    UniqueFd socket_;
    std::unique_ptr<TlsChannel> channel_;
};

} // namespace capsul
