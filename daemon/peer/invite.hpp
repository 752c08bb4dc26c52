// Taking a host in that joins by an invitation; see lib/join_code.hpp.
#pragma once

#include "daemon/peer/options.hpp"
#include "daemon/peer/peer_folder.hpp"
#include "daemon/peer/sparse_log.hpp"
#include "daemon/peer/visitors.hpp"
#include "lib/join_code.hpp"
#include "lib/tls.hpp"

namespace capsul::peer {

class Invite {
  public:
    /// Listens from now on. Throws Error.
    explicit Invite(const Options& options);

    /// Until the invitation is used up or over; its file is removed before. A host that has begun to join in
    /// time may finish.
    [[noreturn]] void run();

  private:
    void remove_file() const;
    bool serve(const Visitors::Visitor& visitor);
    void take_in_or_refuse(TlsChannel& channel);
    void take_in(TlsChannel& channel);
    void check_free(const VpnBundle& own, const VpnNode& joining) const;
    void check_joining(const VpnBundle& theirs, const NodeName& node) const;
    void wait_for_capsuld(const NodeName& node) const;

    PeerFolder folder_;
    const std::filesystem::path hosts_;
    const std::filesystem::path file_;
    const Invitation invitation_;
    const UniqueFd timer_;
    const TlsContext context_;
    const UniqueFd listener_;
    SparseLog log_;
    std::mutex joining_; ///< held while a host is being taken in
    Visitors visitors_;
};

} // namespace capsul::peer
