#include "daemon/peer/member.hpp"

#include "lib/vpn_sync.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace capsul::peer {

std::vector<Member> other_members(const VpnBundle& bundle, const Identity& own) {
    std::vector<Member> members;
    for (const VpnStatement& statement : bundle.nodes) {
        const VpnNode& node = statement.node;
        if (node.identity != own && member_of(bundle, node.identity)) {
            members.push_back({node.name, node.identity, vpn_host_ip(node.slice)});
        }
    }
    return members;
}

MemberConnection::MemberConnection(const PrivateIdentity& own, const Member& member,
                                   const IpAddress& own_address, std::uint16_t port, Deadline deadline)
    : socket_(connect_tcp(SocketAddress(member.address.to_string(), port), own_address, deadline)),
      context_(TlsContext::of_identity(
          own, [wanted = member.identity](const Identity& shown) { return shown == wanted; })),
      channel_(context_, socket_.get(), TlsChannel::Role::client, deadline) {}

double MemberConnection::rtt_ms() const {
    tcp_info info{};
    socklen_t size = sizeof info;
    ::getsockopt(socket_.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
    return static_cast<double>(info.tcpi_rtt) / 1000;
}

} // namespace capsul::peer
