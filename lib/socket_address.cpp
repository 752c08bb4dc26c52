#include "lib/socket_address.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>

namespace capsul {

SocketAddress::SocketAddress(const std::string& address, std::uint16_t port) {
    if (address.find(':') != std::string::npos) {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr);
        std::memcpy(&storage_, &v6, sizeof v6);
        size_ = sizeof v6;
    } else {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr);
        std::memcpy(&storage_, &v4, sizeof v4);
        size_ = sizeof v4;
    }
}

SocketAddress::SocketAddress(const sockaddr& address, socklen_t size)
    : size_(std::min(size, socklen_t{buffer_size})) {
    std::memcpy(&storage_, &address, size_);
}

SocketAddress SocketAddress::of_socket(int fd) {
    SocketAddress address;
    address.size_ = buffer_size;
    if (::getsockname(fd, address.buffer(), &address.size_) != 0) {
        throw_errno(errno, "getsockname");
    }
    return address;
}

const sockaddr* SocketAddress::generic() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage_); // NOLINT: the sockets API
}

sockaddr* SocketAddress::buffer() noexcept {
    return reinterpret_cast<sockaddr*>(&storage_); // NOLINT: the sockets API
}

std::string SocketAddress::bytes() const {
    return {reinterpret_cast<const char*>(&storage_), size_}; // NOLINT: the sockets API
}

} // namespace capsul
