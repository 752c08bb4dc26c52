#include "daemon/port.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/socket_address.hpp"

#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

namespace capsul {

int try_bind(const PublishedPort& port) {
    const SocketAddress address(port.address(), port.host_port());
    const UniqueFd fd(
        ::socket(address.family(), (port.is_udp() ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    const int on = 1;
    if (port.is_ipv6()) {
        ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (!port.is_udp()) {
        ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    return ::bind(fd.get(), address.generic(), address.size()) == 0 ? 0 : errno;
}

std::string tcp_greeting(const Endpoint& server, int limit_milliseconds) {
    const SocketAddress address(server.address, server.port);
    const UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    if (::connect(fd.get(), address.generic(), address.size()) != 0 && errno != EINPROGRESS) {
        return {};
    }
    // A connection that fails wakes both; recv then says so.
    pollfd waiting{fd.get(), POLLOUT, 0};
    if (::poll(&waiting, 1, limit_milliseconds) != 1) {
        return {};
    }
    waiting.events = POLLIN;
    std::array<char, 256> data{};
    if (::poll(&waiting, 1, limit_milliseconds) != 1) {
        return {};
    }
    const ssize_t got = ::recv(fd.get(), data.data(), data.size(), 0);
    return got > 0 ? std::string(data.data(), static_cast<std::size_t>(got)) : std::string();
}

} // namespace capsul
