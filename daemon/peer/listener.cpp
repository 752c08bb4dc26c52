#include "daemon/peer/listener.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <thread>

namespace capsul::peer {

IpAddress address_of(const SocketAddress& address) {
    if (address.family() == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, address.generic(), sizeof v4);
        return IpAddress::from_bytes(reinterpret_cast<const unsigned char*>(&v4.sin_addr), false);
    }
    sockaddr_in6 v6{};
    std::memcpy(&v6, address.generic(), sizeof v6);
    constexpr std::size_t mapped = 12; // bytes before the IPv4 address (RFC 4291 2.5.5.2)
    return IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? IpAddress::from_bytes(v6.sin6_addr.s6_addr + mapped, false)
                                               : IpAddress::from_bytes(v6.sin6_addr.s6_addr, true);
}

std::optional<Connection> accept_one(int listener) {
    SocketAddress from;
    socklen_t size = SocketAddress::buffer_size;
    UniqueFd socket(::accept4(listener, from.buffer(), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            std::this_thread::sleep_for(std::chrono::milliseconds(100)); // until others have gone
        }
        return std::nullopt;
    }
    from.set_size(size);
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return Connection{std::move(socket), address_of(from)};
}

} // namespace capsul::peer
