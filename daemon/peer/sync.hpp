// Hosts of a VPN tell each other what they know: each asks every other now and then, and answers those who
// ask it.
#pragma once

#include "daemon/peer/member.hpp"
#include "daemon/peer/options.hpp"
#include "daemon/peer/peer_folder.hpp"
#include "daemon/peer/reachability.hpp"
#include "daemon/peer/sparse_log.hpp"
#include "daemon/peer/visitors.hpp"
#include "lib/tls.hpp"

#include <map>
#include <set>

namespace capsul::peer {

class Sync {
  public:
    /// Listens from now on. Throws Error.
    explicit Sync(const Options& options);

    /// Answers those who ask, for ever.
    [[noreturn]] void answer();
    /// Gives back to other hosts what they try the way with, for ever.
    [[noreturn]] void answer_echoes();
    /// Asks every other host, all at once.
    void ask_all();

  private:
    bool is_of_host(const IpAddress& address);
    bool serve(const Visitors::Visitor& visitor, Visitors& visitors);
    void exchange(TlsChannel& channel, Deadline deadline);
    void ask(const Member& member);
    double ask_in_time(const Member& member);
    void take(const NodeName& from, const std::string& text);
    void note_answer(const NodeName& node);
    class Turn;

    const IpAddress own_address_;
    const std::uint16_t port_; ///< of all hosts
    const PrivateIdentity identity_;
    PeerFolder folder_;
    Reachability reachability_;
    SparseLog log_;
    const TlsContext members_;
    const UniqueFd listener_;
    const UniqueFd echoes_;
    std::mutex mutex_;
    std::set<IpAddress> host_addresses_;
    std::map<NodeName, int> speaking_;
    Visitors known_;     ///< who have the address of a host
    Visitors strangers_; ///< or any other: a host whose slice was changed, or some guest
};

} // namespace capsul::peer
