// Who may connect, and how many at once.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace capsul {

/// The other end of a Unix socket, as it was when it connected (SO_PEERCRED and SO_PEERGROUPS, unix(7)).
struct Peer {
    uid_t uid = 0;
    std::vector<gid_t> groups;

    [[nodiscard]] static Peer of(int socket);
};

/// Used from one thread.
class Admission {
  public:
    /// A connection's place; given back when destroyed.
    using Place = std::shared_ptr<void>;
    struct Limits {
        std::size_t total;
        std::size_t per_user;
    };

    /// `group` may be empty; throws Error (invalid) when there is no such group.
    Admission(uid_t owner, const std::string& group, Limits limits);

    /// Throws Error: denied when the peer is not the owner, root or of the group; busy when a limit is
    /// reached.
    [[nodiscard]] Place admit(const Peer& peer);

  private:
    [[nodiscard]] bool may_call(const Peer& peer) const;

    uid_t owner_;
    std::optional<gid_t> group_;
    Limits limits_;
    struct Counts {
        std::size_t total = 0;
        std::map<uid_t, std::size_t> by_user;
    };
    std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
};

} // namespace capsul
