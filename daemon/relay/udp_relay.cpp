#include "daemon/relay/udp_relay.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/uio.h>

namespace capsul::relay {
namespace {

constexpr auto silence = std::chrono::minutes(2); // as capsul.nft lets a guest take to answer
constexpr std::size_t most_sessions = 4096;       // then the one that was silent longest goes
constexpr int datagrams_at_once = 64;
constexpr std::size_t longest_datagram = std::size_t{64} << 10U;

using Datagram = std::array<char, longest_datagram>;
using Control = std::array<char, CMSG_SPACE(sizeof(in6_pktinfo))>;

template <class Info>
std::string control_of(int level, int type, const Info& info) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof info)> space{};
    msghdr message{};
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(header), &info, sizeof info);
    return {space.data(), space.size()};
}

/// The control message that sends an answer from where `request` was sent to. By which interface is up to the
/// routes.
std::string answer_control(msghdr& request) {
    for (cmsghdr* header = CMSG_FIRSTHDR(&request); header != nullptr;
         header = CMSG_NXTHDR(&request, header)) {
        if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
            in_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(header), sizeof info);
            info.ipi_ifindex = 0;
            info.ipi_addr = {};
            return control_of(IPPROTO_IP, IP_PKTINFO, info);
        }
        if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
            in6_pktinfo info{};
            std::memcpy(&info, CMSG_DATA(header), sizeof info);
            info.ipi6_ifindex = 0;
            return control_of(IPPROTO_IPV6, IPV6_PKTINFO, info);
        }
    }
    return {};
}

UniqueFd connect_to(const SocketAddress& guest) {
    UniqueFd fd(::socket(guest.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd && ::connect(fd.get(), guest.generic(), guest.size()) != 0) {
        fd.reset();
    }
    return fd;
}

/// What does not get through is lost, as datagrams are. But a refusal is about one that was sent before, when
/// nobody listened yet: this one has not been sent at all.
void send_to(const UniqueFd& guest, const char* data, std::size_t size) {
    const auto is_sent = [&] { return ::send(guest.get(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0; };
    if (!is_sent() && errno == ECONNREFUSED) {
        is_sent();
    }
}

} // namespace

UdpRelay::UdpRelay(EventLoop& loop, UniqueFd port, const SocketAddress& guest)
    : loop_(loop), guest_(guest), port_(std::move(port)), watch_(loop, port_.get(), [this] { take_some(); }) {
    watch_.want(EPOLLIN);
}

void UdpRelay::tick(Clock::time_point now) {
    while (!sessions_.empty() && now - sessions_.back().last_used > silence) {
        drop_oldest();
    }
}

void UdpRelay::take_some() {
    for (int i = 0; i < datagrams_at_once && take_one(); ++i) {
    }
}

/// False when there is none.
bool UdpRelay::take_one() {
    Datagram data; // NOLINT(*-member-init): recvmsg fills it
    alignas(cmsghdr) Control control{};
    SocketAddress client;
    iovec piece{data.data(), data.size()};
    msghdr message{};
    message.msg_name = client.buffer();
    message.msg_namelen = SocketAddress::buffer_size;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(port_.get(), &message, MSG_DONTWAIT);
    if (got < 0) {
        return errno == EINTR;
    }
    client.set_size(message.msg_namelen);
    if (const Session* session = session_of(client, answer_control(message))) {
        send_to(session->guest, data.data(), static_cast<std::size_t>(got));
    }
    return true;
}

UdpRelay::Session* UdpRelay::session_of(const SocketAddress& client, std::string control) {
    std::string key = client.bytes() + control;
    const auto found = by_key_.find(key);
    if (found == by_key_.end()) {
        return open_session(client, std::move(control), std::move(key));
    }
    touch(*found->second);
    return &*found->second;
}

/// Nothing when the guest cannot be reached at all.
UdpRelay::Session* UdpRelay::open_session(const SocketAddress& client, std::string control, std::string key) {
    if (sessions_.size() >= most_sessions) {
        drop_oldest();
    }
    UniqueFd guest = connect_to(guest_);
    if (!guest && !sessions_.empty() && (errno == EMFILE || errno == ENFILE)) {
        drop_oldest();
        guest = connect_to(guest_);
    }
    if (!guest) {
        return nullptr;
    }
    sessions_.push_front(Session{key, client, std::move(control), Clock::now(), std::move(guest), nullptr});
    Session& session = sessions_.front();
    by_key_.emplace(std::move(key), sessions_.begin());
    session.watch =
        std::make_unique<Watch>(loop_, session.guest.get(), [this, &session] { answer_some(session); });
    session.watch->want(EPOLLIN);
    return &session;
}

void UdpRelay::answer_some(const Session& session) {
    Datagram data; // NOLINT(*-member-init): recv fills it
    touch(session);
    for (int i = 0; i < datagrams_at_once; ++i) {
        const ssize_t got = ::recv(session.guest.get(), data.data(), data.size(), MSG_DONTWAIT);
        if (got < 0) {
            return; // no more; or the guest's "port unreachable", which is told once
        }
        iovec piece{data.data(), static_cast<std::size_t>(got)};
        msghdr message{};
        SocketAddress client = session.client;
        std::string control = session.control;
        message.msg_name = client.buffer();
        message.msg_namelen = client.size();
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.empty() ? nullptr : control.data();
        message.msg_controllen = control.size();
        ::sendmsg(port_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

/// It has been used just now.
void UdpRelay::touch(const Session& session) {
    const auto place = by_key_.at(session.key);
    place->last_used = Clock::now();
    sessions_.splice(sessions_.begin(), sessions_, place);
}

/// Never the one that is being answered: that was used last.
void UdpRelay::drop_oldest() {
    by_key_.erase(sessions_.back().key);
    sessions_.pop_back();
}

} // namespace capsul::relay
