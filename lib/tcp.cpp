#include "lib/tcp.hpp"

#include "lib/error.hpp"

#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

namespace capsul {
namespace {

constexpr int longest_queue = 256;

void set_option(const UniqueFd& fd, int level, int name, int value) {
    ::setsockopt(fd.get(), level, name, &value, sizeof value);
}

UniqueFd tcp_socket(const SocketAddress& address, int flags) {
    UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    return fd;
}

[[noreturn]] void fail_to_connect(int number) {
    throw Error(number == ETIMEDOUT ? ErrorCode::timeout : ErrorCode::unreachable,
                std::strerror(number)); // NOLINT(concurrency-mt-unsafe): glibc's is safe (strerror(3))
}

struct FreeResult {
    void operator()(addrinfo* result) const noexcept { ::freeaddrinfo(result); }
};

int error_of(const UniqueFd& fd) {
    int number = 0;
    socklen_t size = sizeof number;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &number, &size);
    return number;
}

} // namespace

void wait_for(int fd, short events, Deadline deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - within({}));
        pollfd wanted{fd, events, 0};
        const int ready = left.count() > 0 ? ::poll(&wanted, 1, static_cast<int>(left.count())) : 0;
        if (ready > 0) {
            return;
        }
        if (ready == 0) {
            throw Error(ErrorCode::timeout, "no answer in time");
        }
        if (errno != EINTR) {
            throw_errno(errno, "poll");
        }
    }
}

std::vector<SocketAddress> look_up(const std::string& host, std::uint16_t port) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int status = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found);
    const std::unique_ptr<addrinfo, FreeResult> owner(found);
    if (status != 0) {
        throw Error(ErrorCode::unreachable, ::gai_strerror(status));
    }
    std::vector<SocketAddress> addresses;
    for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
        addresses.emplace_back(*one->ai_addr, one->ai_addrlen);
    }
    return addresses;
}

UniqueFd connect_tcp(const SocketAddress& target, const std::optional<IpAddress>& source, Deadline deadline) {
    UniqueFd fd = tcp_socket(target, SOCK_NONBLOCK);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (source) {
        const SocketAddress from(source->to_string(), 0);
        if (::bind(fd.get(), from.generic(), from.size()) != 0) {
            fail_to_connect(errno);
        }
    }
    if (::connect(fd.get(), target.generic(), target.size()) != 0) {
        if (errno != EINPROGRESS) {
            fail_to_connect(errno);
        }
        wait_for(fd.get(), POLLOUT, deadline);
        if (const int number = error_of(fd); number != 0) {
            fail_to_connect(number);
        }
    }
    return fd;
}

UniqueFd listen_tcp(const SocketAddress& address) {
    UniqueFd fd = tcp_socket(address, SOCK_NONBLOCK);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, IPPROTO_IP, IP_FREEBIND, 1); // ip(7)
    if (address.family() == AF_INET6) {
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    if (::bind(fd.get(), address.generic(), address.size()) != 0 || ::listen(fd.get(), longest_queue) != 0) {
        if (errno == EADDRINUSE) {
            throw Error(ErrorCode::in_use, "another program listens at this port");
        }
        throw_errno(errno, "listen");
    }
    return fd;
}

} // namespace capsul
