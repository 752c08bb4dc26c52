// On whose behalf this program runs, and how many interfaces they have.
#pragma once

#include "daemon/nethelper/links.hpp"
#include "daemon/nethelper/policy.hpp"

namespace capsul::nethelper {

struct Caller {
    uid_t uid;
    Name prefix;
    const Policy& policy;

    /// How many TAPs the caller may have on a bridge of the administrator's, or on all own ones together.
    [[nodiscard]] unsigned tap_quota(const Link& bridge) const;
};

/// Waits five milliseconds, four hundred times.
class Patience {
  public:
    /// False when it is at its end, at once.
    [[nodiscard]] bool wait();

  private:
    unsigned left_ = 400;
};

/// Whether there may be one more bridge, or one more TAP where `bridge` is, than the caller has beside
/// `self`.
///
/// Among those that are made at the same moment the lower index has the right of way, so that the number is
/// exact however many there are: the last of them sees all others. One that cannot be told yet whose it is,
/// is waited for, a while, and then counted. 0 for `self`: before it is made, when none is ahead of it. `all`
/// becomes what interfaces there are.
[[nodiscard]] bool fits_bridge_quota(const Caller& caller, Links& links, int self);
[[nodiscard]] bool fits_tap_quota(const Caller& caller, Links& links, const Link& bridge, int self,
                                  Array<Link>& all);

} // namespace capsul::nethelper
