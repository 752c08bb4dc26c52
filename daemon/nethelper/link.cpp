#include "daemon/nethelper/link.hpp"

#include <cstdio>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>

namespace capsul::nethelper {
namespace {

constexpr std::string_view alias_start = "capsul uid=";

void read_alias(Link& link, std::string_view alias) {
    link.marked = !alias.empty();
    if (alias.starts_with(alias_start)) {
        alias.remove_prefix(alias_start.size());
        link.owner = parse_number(alias, nobody).value_or(nobody);
    }
}

void read_tap(Link& link, Bytes data) {
    Attributes all(data);
    for (Attribute one; all.next(one);) {
        switch (one.type) {
        case IFLA_TUN_TYPE:
            link.kind = one.as<std::uint8_t>() == IFF_TAP ? Kind::tap : Kind::other;
            break;
        case IFLA_TUN_OWNER:
            link.tap_user = one.as<std::uint32_t>();
            break;
        case IFLA_TUN_GROUP:
            link.tap_group = one.as<std::uint32_t>();
            break;
        case IFLA_TUN_PERSIST:
            link.persistent = one.as<std::uint8_t>() != 0;
            break;
        default:
            break;
        }
    }
}

void read_port(Link& link, Bytes data) {
    Attributes all(data);
    for (Attribute one; all.next(one);) {
        switch (one.type) {
        case IFLA_BRPORT_LOCKED:
            link.locked = one.as<std::uint8_t>() != 0;
            break;
        case IFLA_BRPORT_LEARNING:
            link.learning = one.as<std::uint8_t>() != 0;
            break;
        case IFLA_BRPORT_ISOLATED:
            link.isolated = one.as<std::uint8_t>() != 0;
            break;
        default:
            break;
        }
    }
}

void read_kind(Link& link, Bytes info) {
    const std::string_view kind = Attributes::find(info, IFLA_INFO_KIND).text();
    if (kind == "bridge") {
        link.kind = Kind::bridge;
    } else if (kind == "tun") {
        read_tap(link, Attributes::find(info, IFLA_INFO_DATA).value);
    }
    if (Attributes::find(info, IFLA_INFO_SLAVE_KIND).text() == "bridge") {
        read_port(link, Attributes::find(info, IFLA_INFO_SLAVE_DATA).value);
    }
}

} // namespace

Link read_link(const Message& message) {
    Link link;
    link.index = message.header<ifinfomsg>().ifi_index;
    Attributes all(message.attributes<ifinfomsg>());
    for (Attribute one; all.next(one);) {
        switch (one.type) {
        case IFLA_IFNAME:
            link.name = parse_any_name(one.text()).value_or(Name{});
            break;
        case IFLA_IFALIAS:
            read_alias(link, one.text());
            break;
        case IFLA_MASTER:
            link.master = one.as<int>();
            break;
        case IFLA_MTU:
            link.mtu = one.as<unsigned>();
            break;
        case IFLA_ADDRESS:
            link.mac = one.as<Mac>();
            break;
        case IFLA_LINKINFO:
            read_kind(link, one.value);
            break;
        default:
            break;
        }
    }
    return link;
}

InterfaceAddress read_address(const Message& message) {
    const auto header = message.header<ifaddrmsg>();
    const Bytes attributes = message.attributes<ifaddrmsg>();
    Attribute found = Attributes::find(attributes, IFA_LOCAL); // of IPv6 only when there is a peer
    if (found.value.empty()) {
        found = Attributes::find(attributes, IFA_ADDRESS);
    }
    InterfaceAddress result;
    result.index = static_cast<int>(header.ifa_index);
    result.address = {{header.ifa_family, found.as<std::array<std::uint8_t, 16>>()}, header.ifa_prefixlen};
    result.link_scope = header.ifa_scope == RT_SCOPE_LINK;
    return result;
}

void put_alias(Messages& message, uid_t owner) {
    std::array<char, 32> alias{};
    std::snprintf(alias.data(), alias.size(), "%.*s%u",
                  static_cast<int>(alias_start.size()), // NOLINT: no exceptions
                  alias_start.data(), owner);
    message.put(IFLA_IFALIAS, alias.data());
}

} // namespace capsul::nethelper
