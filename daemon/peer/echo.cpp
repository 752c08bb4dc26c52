#include "daemon/peer/echo.hpp"

#include "daemon/peer/listener.hpp"
#include "lib/error.hpp"
#include "lib/socket_address.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <string_view>

namespace capsul::peer {
namespace {

// A word, and for which of the questions it is.
constexpr std::string_view question = "capsul?";
constexpr std::string_view answer = "capsul!";
constexpr std::size_t shortest = question.size() + 1;
constexpr std::size_t headers = 28; // of IPv4 and UDP
constexpr std::size_t longest_packet = 2048;

} // namespace

UniqueFd echo_socket(const IpAddress& own, std::uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const SocketAddress address(own.to_string(), port);
    const int whole = IP_PMTUDISC_PROBE;
    const int on = 1;
    if (!fd || ::setsockopt(fd.get(), IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof whole) != 0 ||
        ::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on) != 0 ||
        ::bind(fd.get(), address.generic(), address.size()) != 0) {
        throw_errno(errno, "a socket for echoes");
    }
    return fd;
}

void answer_echoes(const UniqueFd& socket, const std::function<bool(const IpAddress&)>& is_welcome) {
    std::array<char, longest_packet> packet{};
    for (;;) {
        pollfd waiting{socket.get(), POLLIN, 0};
        ::poll(&waiting, 1, -1);
        SocketAddress from;
        socklen_t size = SocketAddress::buffer_size;
        const ssize_t got = ::recvfrom(socket.get(), packet.data(), packet.size(), 0, from.buffer(), &size);
        const std::string_view text(packet.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        from.set_size(size);
        if (text.size() >= shortest && text.starts_with(question) && is_welcome(address_of(from))) {
            std::ranges::copy(answer, packet.begin());
            (void)::sendto(socket.get(), packet.data(), text.size(), 0, from.generic(), from.size());
        }
    }
}

Echo::Echo(const IpAddress& own, const IpAddress& target, std::uint16_t port) : socket_(echo_socket(own, 0)) {
    const SocketAddress address(target.to_string(), port);
    if (::connect(socket_.get(), address.generic(), address.size()) != 0) {
        throw_errno(errno, "echo");
    }
}

std::optional<std::chrono::duration<double, std::milli>> Echo::ask(std::size_t size, Deadline deadline) {
    std::string packet(std::max(size, headers + shortest) - headers, '\0');
    packet.replace(0, question.size(), question);
    packet[question.size()] = static_cast<char>(++number_);
    const Deadline begin = within({});
    if (::send(socket_.get(), packet.data(), packet.size(), 0) < 0 || !is_answered(deadline)) {
        return std::nullopt;
    }
    return within({}) - begin;
}

/// An answer to an earlier question may come late; what routers say (an error) ends the waiting.
bool Echo::is_answered(Deadline deadline) const {
    for (;;) {
        try {
            wait_for(socket_.get(), POLLIN, deadline);
        } catch (const Error&) {
            return false;
        }
        std::array<char, shortest> start{};
        const ssize_t got = ::recv(socket_.get(), start.data(), start.size(), 0);
        if (got < 0) {
            return false;
        }
        const std::string_view text(start.data(), static_cast<std::size_t>(got));
        if (text.size() == shortest && text.starts_with(answer) &&
            text.back() == static_cast<char>(number_)) {
            return true;
        }
    }
}

} // namespace capsul::peer
