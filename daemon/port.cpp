#include "daemon/port.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

namespace capsul {
namespace {

sockaddr_in address_of(const std::string& address, std::uint16_t port) {
    sockaddr_in result{};
    result.sin_family = AF_INET;
    result.sin_port = htons(port);
    ::inet_pton(AF_INET, address.c_str(), &result.sin_addr);
    return result;
}

const sockaddr* generic(const sockaddr_in& address) {
    return reinterpret_cast<const sockaddr*>(&address); // NOLINT: the sockets API
}

} // namespace

int try_bind(const PublishedPort& port) {
    const UniqueFd fd(::socket(AF_INET, (port.is_udp() ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    const int on = 1;
    if (!port.is_udp()) {
        ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    const sockaddr_in address = address_of(port.address(), port.host_port());
    return ::bind(fd.get(), generic(address), sizeof address) == 0 ? 0 : errno;
}

std::string tcp_greeting(std::uint16_t port, int limit_milliseconds) {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    const sockaddr_in address = address_of("127.0.0.1", port);
    if (::connect(fd.get(), generic(address), sizeof address) != 0) {
        return {};
    }
    pollfd waiting{fd.get(), POLLIN, 0};
    std::array<char, 256> data{};
    if (::poll(&waiting, 1, limit_milliseconds) != 1) {
        return {};
    }
    const ssize_t got = ::recv(fd.get(), data.data(), data.size(), 0);
    return got > 0 ? std::string(data.data(), static_cast<std::size_t>(got)) : std::string();
}

} // namespace capsul
