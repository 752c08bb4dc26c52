// A network interface and its addresses, as a message of rtnetlink(7) tells them.
#pragma once

#include "daemon/nethelper/netlink.hpp"
#include "daemon/nethelper/values.hpp"

#include <sys/types.h>

namespace capsul::nethelper {

enum class Kind : std::uint8_t { other, bridge, tap };

constexpr std::uint32_t nobody = 0xffffffff;

struct Link {
    Name name;
    int index = 0;
    Kind kind = Kind::other;
    /// It has an alias; `owner` is whose, when it is one of this program's.
    bool marked = false;
    uid_t owner = nobody;
    /// The index of the bridge that it is plugged into, or 0.
    int master = 0;
    unsigned mtu = 0;
    Mac mac{};
    // Of a TAP: whether it stays when nobody has it open, and who may open it.
    bool persistent = false;
    uid_t tap_user = nobody;
    gid_t tap_group = nobody;
    // Of a bridge's port.
    bool locked = false;
    bool learning = false;
    bool isolated = false;

    /// Made by this program for `uid`, as the kernel has it: only with cap_net_admin can the alias be set.
    [[nodiscard]] bool belongs_to(uid_t uid) const { return owner == uid && kind != Kind::other; }
    /// A TAP that its maker has not committed yet.
    [[nodiscard]] bool is_tap_in_flight() const { return kind == Kind::tap && !persistent; }
};

struct InterfaceAddress {
    int index = 0;
    Cidr address;
    bool link_scope = false;
};

/// From a message about a link (RTM_NEWLINK). What it does not tell is as in an empty one.
[[nodiscard]] Link read_link(const Message& message);
/// From a message about an address (RTM_NEWADDR).
[[nodiscard]] InterfaceAddress read_address(const Message& message);

/// Adds the mark that read_link() takes for `owner`: an alias.
void put_alias(Messages& message, uid_t owner);

} // namespace capsul::nethelper
