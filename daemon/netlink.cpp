#include "daemon/netlink.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <memory>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

namespace capsul {
namespace {

struct SocketEnd {
    void operator()(nl_sock* socket) const noexcept { nl_socket_free(socket); }
};
using Socket = std::unique_ptr<nl_sock, SocketEnd>;
using OnMessage = std::function<void(nlmsghdr&)>;

void check(int result, const char* what) {
    if (result < 0) {
        throw Error(ErrorCode::internal, std::string(what) + ": " + nl_geterror(result));
    }
}

/// What is thrown must not cross libnl.
struct Exchange {
    const OnMessage& on_message;
    std::exception_ptr failure;
};

int forward(nl_msg* message, void* argument) {
    auto& call = *static_cast<Exchange*>(argument);
    try {
        call.on_message(*nlmsg_hdr(message));
        return NL_OK;
    } catch (...) {
        call.failure = std::current_exception();
        return NL_STOP;
    }
}

/// Asks for all objects of one kind, tells of each, and returns what libnl says.
int receive(int request, const OnMessage& on_message) {
    const Socket socket(nl_socket_alloc());
    if (!socket) {
        throw std::bad_alloc();
    }
    check(nl_connect(socket.get(), NETLINK_ROUTE), "netlink");
    Exchange call{on_message, nullptr};
    nl_socket_modify_cb(socket.get(), NL_CB_VALID, NL_CB_CUSTOM, forward, &call);
    rtgenmsg all{AF_UNSPEC};
    check(nl_send_simple(socket.get(), request, NLM_F_DUMP, &all, sizeof all), "netlink");
    const int received = nl_recvmsgs_default(socket.get());
    if (call.failure) {
        std::rethrow_exception(call.failure);
    }
    return received;
}

/// All objects of one kind that `read` makes something of. When they change meanwhile, the kernel says that
/// what it told may not fit together: it is asked again.
template <class T>
std::vector<T> dump(int request, std::optional<T> (*read)(nlmsghdr&)) {
    constexpr int most_attempts = 10;
    std::vector<T> found;
    int received = -NLE_DUMP_INTR;
    for (int attempt = 0; attempt < most_attempts && received == -NLE_DUMP_INTR; ++attempt) {
        found.clear();
        received = receive(request, [&](nlmsghdr& message) {
            if (auto one = read(message)) {
                found.push_back(std::move(*one));
            }
        });
    }
    check(received, "netlink");
    return found;
}

template <std::size_t Last>
using Attributes = std::array<nlattr*, Last + 1>;

template <std::size_t Last>
Attributes<Last> nested(nlattr* outer) {
    Attributes<Last> inner{};
    if (outer != nullptr) {
        check(nla_parse_nested(inner.data(), static_cast<int>(Last), outer, nullptr), "netlink: attributes");
    }
    return inner;
}

std::string text_of(nlattr* attribute) {
    return attribute == nullptr ? std::string() : std::string(nla_get_string(attribute));
}

bool is_set(nlattr* attribute) {
    return attribute != nullptr && nla_get_u8(attribute) != 0;
}

LinkCounters counters_of(nlattr* attribute) {
    rtnl_link_stats64 stats{};
    if (attribute != nullptr) {
        nla_memcpy(&stats, attribute, sizeof stats);
    }
    return {stats.rx_bytes, stats.rx_packets, stats.rx_dropped,
            stats.tx_bytes, stats.tx_packets, stats.tx_dropped};
}

std::optional<Link> link_of(nlmsghdr& message) {
    Attributes<IFLA_MAX> attributes{};
    check(nlmsg_parse(&message, sizeof(ifinfomsg), attributes.data(), IFLA_MAX, nullptr), "netlink: link");
    const auto info = nested<IFLA_INFO_MAX>(attributes[IFLA_LINKINFO]);
    Link link;
    link.index = static_cast<const ifinfomsg*>(nlmsg_data(&message))->ifi_index;
    link.name = text_of(attributes[IFLA_IFNAME]);
    link.alias = text_of(attributes[IFLA_IFALIAS]);
    link.kind = text_of(info[IFLA_INFO_KIND]);
    link.master =
        attributes[IFLA_MASTER] == nullptr ? 0 : static_cast<int>(nla_get_u32(attributes[IFLA_MASTER]));
    link.counters = counters_of(attributes[IFLA_STATS64]);
    if (text_of(info[IFLA_INFO_SLAVE_KIND]) == "bridge") {
        const auto port = nested<IFLA_BRPORT_MAX>(info[IFLA_INFO_SLAVE_DATA]);
        link.locked = is_set(port[IFLA_BRPORT_LOCKED]);
        link.isolated = is_set(port[IFLA_BRPORT_ISOLATED]);
    }
    return link;
}

/// Nothing when the attribute is no address of that family.
std::optional<IpAddress> address_of(nlattr* attribute, bool ipv6) {
    if (attribute == nullptr || nla_len(attribute) != (ipv6 ? 16 : 4)) {
        return std::nullopt;
    }
    return IpAddress::from_bytes(static_cast<const unsigned char*>(nla_data(attribute)), ipv6);
}

/// IFA_ADDRESS is the other end's on a point-to-point link, where IFA_LOCAL is there too.
std::optional<IpAddress> host_address_of(nlmsghdr& message) {
    const auto& head = *static_cast<const ifaddrmsg*>(nlmsg_data(&message));
    if (head.ifa_family != AF_INET && head.ifa_family != AF_INET6) {
        return std::nullopt;
    }
    Attributes<IFA_MAX> attributes{};
    check(nlmsg_parse(&message, sizeof(ifaddrmsg), attributes.data(), IFA_MAX, nullptr), "netlink: address");
    nlattr* const local = attributes[IFA_LOCAL];
    return address_of(local == nullptr ? attributes[IFA_ADDRESS] : local, head.ifa_family == AF_INET6);
}

bool is_special(const IpAddress& address) {
    static const std::array<Cidr, 4> special{Cidr::parse("fe80::/10"), Cidr::parse("ff00::/8"),
                                             Cidr::parse("169.254.0.0/16"), Cidr::parse("224.0.0.0/4")};
    return std::ranges::any_of(special, [&](const Cidr& subnet) { return subnet.contains(address); });
}

std::optional<HostRoute> route_of(nlmsghdr& message) {
    const auto& head = *static_cast<const rtmsg*>(nlmsg_data(&message));
    const bool is_ip = head.rtm_family == AF_INET || head.rtm_family == AF_INET6;
    if (!is_ip || head.rtm_table != RT_TABLE_MAIN || head.rtm_type != RTN_UNICAST || head.rtm_dst_len == 0) {
        return std::nullopt;
    }
    Attributes<RTA_MAX> attributes{};
    check(nlmsg_parse(&message, sizeof(rtmsg), attributes.data(), RTA_MAX, nullptr), "netlink: route");
    const auto address = address_of(attributes[RTA_DST], head.rtm_family == AF_INET6);
    if (!address || is_special(*address)) {
        return std::nullopt;
    }
    nlattr* const link = attributes[RTA_OIF];
    return HostRoute{Cidr::around(*address, head.rtm_dst_len),
                     link == nullptr ? 0 : static_cast<int>(nla_get_u32(link))};
}

} // namespace

std::vector<Link> all_links() {
    return dump(RTM_GETLINK, link_of);
}

std::optional<Link> find_link(const std::string& name) {
    for (Link& link : all_links()) {
        if (link.name == name) {
            return std::move(link);
        }
    }
    return std::nullopt;
}

std::vector<IpAddress> host_addresses() {
    return dump(RTM_GETADDR, host_address_of);
}

std::vector<HostRoute> host_routes() {
    return dump(RTM_GETROUTE, route_of);
}

} // namespace capsul
