#include "daemon/peer/ping.hpp"

#include "lib/error.hpp"
#include "lib/socket_address.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstddef>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <vector>

namespace capsul::peer {
namespace {

/// Of an echo request and its answer, the same in both protocols: type, code, checksum and identifier (the
/// kernel fills these two in), sequence number.
constexpr std::size_t icmp_header = 8;
constexpr std::size_t sequence_at = 6;

UniqueFd ping_socket(const IpAddress& target) {
    UniqueFd fd(::socket(target.is_ipv6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                         target.is_ipv6() ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP}));
    if (!fd) {
        throw_errno(errno, "users of this host may not ping");
    }
    const int probe = target.is_ipv6() ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE;
    const int failed = target.is_ipv6()
                           ? ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, &probe, sizeof probe)
                           : ::setsockopt(fd.get(), IPPROTO_IP, IP_MTU_DISCOVER, &probe, sizeof probe);
    const SocketAddress address(target.to_string(), 0);
    if (failed != 0 || ::connect(fd.get(), address.generic(), address.size()) != 0) {
        throw_errno(errno, "ping");
    }
    return fd;
}

} // namespace

Ping::Ping(const IpAddress& target) : is_ipv6_(target.is_ipv6()), socket_(ping_socket(target)) {}

std::optional<std::chrono::duration<double, std::milli>> Ping::echo(std::size_t size, Deadline deadline) {
    const Deadline begin = within({});
    if (!send(size) || !is_answered(deadline)) {
        return std::nullopt;
    }
    return within({}) - begin;
}

bool Ping::send(std::size_t size) {
    const std::size_t header = is_ipv6_ ? 40 : 20;
    std::vector<std::uint8_t> packet(std::max(size, header + icmp_header) - header);
    packet[0] = is_ipv6_ ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
    ++sequence_;
    packet[sequence_at] = static_cast<std::uint8_t>(sequence_ >> 8U);
    packet[sequence_at + 1] = static_cast<std::uint8_t>(sequence_ & 0xffU);
    return ::send(socket_.get(), packet.data(), packet.size(), 0) == static_cast<ssize_t>(packet.size());
}

/// An answer to an earlier one may come late, and what routers say ends the waiting (an error of recv).
bool Ping::is_answered(Deadline deadline) {
    for (;;) {
        try {
            wait_for(socket_.get(), POLLIN, deadline);
        } catch (const Error&) {
            return false;
        }
        std::array<std::uint8_t, icmp_header> answer{};
        const ssize_t got = ::recv(socket_.get(), answer.data(), answer.size(), 0);
        if (got < 0) {
            return false;
        }
        const unsigned sequence = (unsigned{answer[sequence_at]} << 8U) | answer[sequence_at + 1];
        if (answer[0] == (is_ipv6_ ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) && sequence == sequence_) {
            return true;
        }
    }
}

} // namespace capsul::peer
