#include "daemon/nethelper/links.hpp"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

namespace capsul::nethelper {
namespace {

constexpr unsigned attempts = 100;

ifinfomsg link_header(int index, std::uint8_t family = AF_UNSPEC) {
    ifinfomsg header{};
    header.ifi_family = family;
    header.ifi_index = index;
    return header;
}

ifinfomsg up_header(int index) {
    ifinfomsg header = link_header(index);
    header.ifi_flags = header.ifi_change = IFF_UP;
    return header;
}

/// What a bridge of ours is like. Snooping would let a guest who plays the querier decide who gets which
/// multicast.
void put_bridge_kind(Messages& message) {
    message.nest(IFLA_LINKINFO, [&] {
        message.put(IFLA_INFO_KIND, "bridge");
        message.nest(IFLA_INFO_DATA, [&] {
            message.put_value(IFLA_BR_STP_STATE, std::uint32_t{0});
            message.put_value(IFLA_BR_MCAST_SNOOPING, std::uint8_t{0});
        });
    });
}

ndmsg fdb_header(int port, std::uint16_t state, std::uint8_t flags) {
    ndmsg header{};
    header.ndm_family = AF_BRIDGE;
    header.ndm_ifindex = port;
    header.ndm_state = state;
    header.ndm_flags = flags;
    return header;
}

void begin_address(Messages& message, std::uint16_t type, std::uint16_t flags, int index,
                   const Cidr& address) {
    ifaddrmsg header{};
    header.ifa_family = address.address.family;
    header.ifa_prefixlen = address.length;
    header.ifa_index = static_cast<unsigned>(index);
    const Bytes bytes = std::as_bytes(std::span(address.address.bytes)).first(address.address.bits() / 8);
    message.begin(type, flags, header);
    message.put(IFA_LOCAL, bytes);
    message.put(IFA_ADDRESS, bytes);
}

} // namespace

Links::Links() : netlink_(NETLINK_ROUTE) {}

std::optional<Link> Links::find_one(Messages& question) {
    netlink_.ask(question);
    std::optional<Link> found;
    for (Message message; netlink_.next(message);) {
        found = read_link(message);
    }
    if (netlink_.error() != 0 && netlink_.error() != ENODEV) {
        die_errno(netlink_.error(), "an interface cannot be looked up");
    }
    return found;
}

std::optional<Link> Links::find(const Name& name) {
    Messages question;
    question.begin(RTM_GETLINK, NLM_F_ACK, link_header(0));
    question.put_value(IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
    question.put(IFLA_IFNAME, name.view());
    const auto found = find_one(question);
    // The kernel looks at alternative names, too.
    return found && found->name == name ? found : std::nullopt;
}

std::optional<Link> Links::find(int index) {
    Messages question;
    question.begin(RTM_GETLINK, NLM_F_ACK, link_header(index));
    question.put_value(IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
    return find_one(question);
}

int Links::index_of(const Name& name) {
    const auto link = find(name);
    if (!link) {
        die_errno(ENODEV, "%s", name.text.data());
    }
    return link->index;
}

/// Again and again until nothing changed while the kernel told it: one might be missing otherwise.
template <class T>
void Links::list_all(Messages& question, Array<T>& result, bool (*read)(const Message&, T&)) {
    for (unsigned attempt = 0; attempt < attempts; ++attempt) {
        netlink_.ask(question);
        result.clear();
        T value;
        for (Message message; netlink_.next(message);) {
            if (read(message, value)) {
                result.push_back(value);
            }
        }
        if (netlink_.error() != EINTR) {
            break;
        }
    }
    if (netlink_.error() != 0) {
        die_errno(netlink_.error(), "the interfaces and addresses cannot be listed");
    }
}

void Links::list(Array<Link>& links) {
    Messages question;
    question.begin(RTM_GETLINK, NLM_F_DUMP, link_header(0));
    question.put_value(IFLA_EXT_MASK, std::uint32_t{RTEXT_FILTER_SKIP_STATS});
    list_all<Link>(question, links, [](const Message& message, Link& link) {
        link = read_link(message);
        return true;
    });
}

void Links::list_addresses(Array<InterfaceAddress>& addresses) {
    Messages question;
    question.begin(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
    list_all<InterfaceAddress>(question, addresses, [](const Message& message, InterfaceAddress& address) {
        address = read_address(message);
        return true;
    });
}

void Links::list_fixed_macs(int bridge, Array<FdbEntry>& entries) {
    Messages question;
    question.begin(RTM_GETNEIGH, NLM_F_DUMP, fdb_header(0, 0, 0));
    if (bridge != 0) {
        question.put_value(NDA_MASTER, bridge);
    }
    list_all<FdbEntry>(question, entries, [](const Message& message, FdbEntry& entry) {
        const auto header = message.header<ndmsg>();
        const Bytes attributes = message.attributes<ndmsg>();
        entry = {header.ndm_ifindex, Attributes::find(attributes, NDA_LLADDR).as<Mac>()};
        // Those without a master are in the list of the interface itself.
        return header.ndm_state == NUD_NOARP && !Attributes::find(attributes, NDA_MASTER).value.empty();
    });
}

bool Links::knows_mac(int bridge, const Mac& mac) {
    Messages question;
    question.begin(RTM_GETNEIGH, NLM_F_ACK, fdb_header(0, 0, 0));
    question.put_value(NDA_MASTER, bridge);
    question.put_value(NDA_LLADDR, mac);
    return netlink_.run(question) == 0;
}

int Links::create_bridge(const Name& name, const Mac& mac) {
    Messages message;
    message.begin(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, link_header(0));
    message.put(IFLA_IFNAME, name.view());
    message.put_value(IFLA_ADDRESS, mac);
    put_bridge_kind(message);
    return netlink_.run(message);
}

void Links::configure_bridge(int index, uid_t owner) {
    Messages message;
    message.begin(RTM_NEWLINK, NLM_F_ACK, up_header(index));
    put_alias(message, owner);
    put_bridge_kind(message);
    require(message, "the bridge cannot be configured");
}

int Links::configure_tap(int index, uid_t owner, const Mac& mac, unsigned mtu, int bridge) {
    Messages message;
    message.begin(RTM_SETLINK, NLM_F_ACK, link_header(index));
    // The kernel does these first: a bridge without an address of its own takes the lowest of its ports', and
    // it takes their lowest MTU.
    message.put_value(IFLA_ADDRESS, mac);
    message.put_value(IFLA_MTU, mtu);
    put_alias(message, owner);
    if (bridge != 0) {
        message.put_value(IFLA_MASTER, bridge);
    }
    const int error = netlink_.run(message);
    return error != 0 ? error : without_link_local(index);
}

/// The host must not be seen on a TAP by an address that nobody asked for.
int Links::without_link_local(int index) {
    Messages message;
    message.begin(RTM_SETLINK, NLM_F_ACK, link_header(index));
    message.nest(IFLA_AF_SPEC, [&] {
        message.nest(AF_INET6, [&] {
            message.put_value(IFLA_INET6_ADDR_GEN_MODE, std::uint8_t{IN6_ADDR_GEN_MODE_NONE});
        });
    });
    const int error = netlink_.run(message);
    return error == EAFNOSUPPORT ? 0 : error; // a kernel without IPv6
}

void Links::set_port(int index, const Port& port) {
    const auto put = [](Messages& message, std::uint16_t type, bool on) {
        message.put_value(type, static_cast<std::uint8_t>(on));
    };
    Messages message;
    message.begin(RTM_SETLINK, NLM_F_ACK, link_header(index, AF_BRIDGE));
    message.nest(IFLA_PROTINFO, [&] {
        put(message, IFLA_BRPORT_LOCKED, port.locked);
        put(message, IFLA_BRPORT_LEARNING, port.learning);
        put(message, IFLA_BRPORT_ISOLATED, port.isolated);
        // What is for somebody else does not go to a guest whose only address is known.
        put(message, IFLA_BRPORT_UNICAST_FLOOD, port.learning);
        put(message, IFLA_BRPORT_MODE, false);
        // Where the administrator's bridge does STP: a guest that takes part in it is cut off.
        put(message, IFLA_BRPORT_GUARD, true);
        // MDB_RTR_TYPE_DISABLED for guests: none of them gets all multicast by saying that it is a router.
        put(message, IFLA_BRPORT_MULTICAST_ROUTER, !port.locked);
        if (!port.learning) {
            put(message, IFLA_BRPORT_FLUSH, true);
        }
    });
    require(message, "the bridge's port cannot be set");
}

int Links::fix_mac(int port, const Mac& mac) {
    Messages message;
    // Sticky: the same address coming in by another port does not carry the entry away.
    message.begin(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                  fdb_header(port, NUD_NOARP, NTF_MASTER | NTF_STICKY));
    message.put_value(NDA_LLADDR, mac);
    return netlink_.run(message);
}

void Links::forget_mac(int port, const Mac& mac) {
    Messages message;
    message.begin(RTM_DELNEIGH, NLM_F_ACK, fdb_header(port, 0, NTF_MASTER));
    message.put_value(NDA_LLADDR, mac);
    require(message, "an address cannot be taken off the port");
}

void Links::set_up(int index) {
    Messages message;
    message.begin(RTM_SETLINK, NLM_F_ACK, up_header(index));
    require(message, "the interface cannot be set up");
}

void Links::set_down(int index) {
    ifinfomsg header = link_header(index);
    header.ifi_change = IFF_UP;
    Messages message;
    message.begin(RTM_SETLINK, NLM_F_ACK, header);
    require(message, "the interface cannot be set down");
}

void Links::remove(int index) {
    Messages message;
    message.begin(RTM_DELLINK, NLM_F_ACK, link_header(index));
    const int error = netlink_.run(message);
    if (error != 0 && error != ENODEV) {
        die_errno(error, "the interface cannot be removed");
    }
}

int Links::add_address(int index, const Cidr& address) {
    Messages message;
    begin_address(message, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, index, address);
    if (address.address.family == AF_INET6) {
        // A bridge without ports has no carrier: the search for a duplicate would never end.
        message.put_value(IFA_FLAGS, std::uint32_t{IFA_F_NODAD});
    }
    return netlink_.run(message);
}

void Links::remove_address(int index, const Cidr& address) {
    Messages message;
    begin_address(message, RTM_DELADDR, NLM_F_ACK, index, address);
    require(message, "the address cannot be taken away");
}

void Links::require(Messages& message, const char* what) {
    const int error = netlink_.run(message);
    if (error != 0) {
        die_errno(error, "%s", what);
    }
}

} // namespace capsul::nethelper
