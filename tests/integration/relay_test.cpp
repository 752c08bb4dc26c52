// capsul-relay by real traffic: the sockets are handed in as systemd does it, the guest is another loopback
// address.
#include "lib/fd.hpp"
#include "lib/socket_address.hpp"
#include "tests/integration/own_ports.hpp"

#include <array>
#include <csignal>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

constexpr const char* guest_address = "127.0.0.9";

UniqueFd bound(int type, const std::string& address, std::uint16_t port) {
    const SocketAddress where(address, port);
    UniqueFd fd(::socket(where.family(), type | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd.get(), where.generic(), where.size()) != 0 ||
        (type == SOCK_STREAM && ::listen(fd.get(), 4096) != 0)) {
        throw std::runtime_error(fmt::format("{} port {}: {}", address, port, errno));
    }
    return fd;
}

/// Nothing here waits longer than ten seconds.
bool wait_for(const UniqueFd& fd, short events) {
    pollfd wanted{fd.get(), events, 0};
    return ::poll(&wanted, 1, 10'000) == 1;
}

/// One piece; empty at the end, or when nothing comes.
std::string receive(const UniqueFd& fd, std::size_t limit = 65536) {
    std::string data(limit, '\0');
    const ssize_t got = wait_for(fd, POLLIN) ? ::recv(fd.get(), data.data(), data.size(), 0) : -1;
    data.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return data;
}

std::string receive_all(const UniqueFd& fd) {
    std::string all;
    for (std::string piece = receive(fd); !piece.empty(); piece = receive(fd)) {
        all += piece;
    }
    return all;
}

void send_all(const UniqueFd& fd, std::string_view data) {
    while (!data.empty()) {
        const ssize_t sent = ::send(fd.get(), data.data(), data.size(), MSG_NOSIGNAL);
        ASSERT_GT(sent, 0);
        data.remove_prefix(static_cast<std::size_t>(sent));
    }
}

UniqueFd accept_one(const UniqueFd& listener) {
    return UniqueFd(wait_for(listener, POLLIN) ? ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)
                                               : -1);
}

UniqueFd connected(int type, const SocketAddress& where) {
    UniqueFd fd(::socket(where.family(), type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), where.generic(), where.size()), 0);
    return fd;
}

bool ends_with_reset(const UniqueFd& fd) {
    char byte = 0;
    return wait_for(fd, POLLIN) && ::recv(fd.get(), &byte, 1, 0) < 0 && errno == ECONNRESET;
}

/// The relay, running, with a TCP and a UDP port of the host, and the guest's, on which nobody listens unless
/// a test does.
class RelayTest : public testing::Test {
  protected:
    RelayTest() {
        const UniqueFd tcp = bound(SOCK_STREAM, "127.0.0.1", tcp_port_);
        const UniqueFd udp = bound(SOCK_DGRAM, "0.0.0.0", udp_port_);
        const int on = 1;
        ::setsockopt(udp.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
        start(tcp, udp,
              {CAPSUL_RELAY, guest_address, fmt::format("0.0.0.0:{}:{}/udp", udp_port_, guest_udp_port_),
               fmt::format("{0}:{0}", tcp_port_)});
        EXPECT_TRUE(ends_with_reset(client()));
    }
    ~RelayTest() override {
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }

    UniqueFd client() const { return connected(SOCK_STREAM, SocketAddress("127.0.0.1", tcp_port_)); }
    UniqueFd listening_guest() const { return bound(SOCK_STREAM, guest_address, tcp_port_); }

    const std::uint16_t tcp_port_ = test::own_port(0);
    const std::uint16_t udp_port_ = test::own_port(1);
    const std::uint16_t guest_udp_port_ = test::own_port(2);
    pid_t pid_ = 0;

  private:
    void start(const UniqueFd& tcp, const UniqueFd& udp, std::vector<std::string> words) {
        std::vector<char*> argv;
        for (std::string& word : words) {
            argv.push_back(word.data());
        }
        argv.push_back(nullptr);
        const int high_tcp = ::fcntl(tcp.get(), F_DUPFD_CLOEXEC, 100);
        const int high_udp = ::fcntl(udp.get(), F_DUPFD_CLOEXEC, 100);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::dup2(high_tcp, 3);
            ::dup2(high_udp, 4);
            ::setenv("LISTEN_FDS", "2", 1);                                // NOLINT: one thread
            ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1); // NOLINT: one thread
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        ::close(high_tcp);
        ::close(high_udp);
    }
};

TEST_F(RelayTest, CarriesBothWaysAndTheEndOfEachByItself) {
    const UniqueFd listener = listening_guest();
    const UniqueFd visitor = client();
    const UniqueFd guest = accept_one(listener);
    send_all(visitor, "question");
    ::shutdown(visitor.get(), SHUT_WR);
    EXPECT_EQ(receive_all(guest), "question");
    send_all(guest, "answer after the question's end");
    ::shutdown(guest.get(), SHUT_WR);
    EXPECT_EQ(receive_all(visitor), "answer after the question's end");
}

TEST_F(RelayTest, LosesNothingWhenTheReaderIsSlow) {
    const UniqueFd listener = listening_guest();
    const UniqueFd visitor = client();
    const UniqueFd guest = accept_one(listener);
    std::string data;
    while (data.size() < (std::size_t{32} << 20U)) {
        data += std::to_string(data.size()) + ' ';
    }
    std::jthread writer([&] {
        send_all(guest, data);
        ::shutdown(guest.get(), SHUT_WR);
    });
    std::this_thread::sleep_for(200ms); // every buffer on the way is full
    EXPECT_TRUE(receive_all(visitor) == data);
}

TEST_F(RelayTest, ResetsAVisitorWhomTheGuestRefuses) {
    EXPECT_TRUE(ends_with_reset(client()));
}

TEST_F(RelayTest, PassesOnAReset) {
    const UniqueFd listener = listening_guest();
    const UniqueFd visitor = client();
    UniqueFd guest = accept_one(listener);
    const linger at_once{1, 0};
    ::setsockopt(guest.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    guest.reset();
    EXPECT_TRUE(ends_with_reset(visitor));
}

TEST_F(RelayTest, ServesAThousandAtOnce) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    const rlimit raised{std::min<rlim_t>(limit.rlim_max, 8192), limit.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &raised);
    ::prlimit(pid_, RLIMIT_NOFILE, &raised, nullptr);
    const UniqueFd listener = listening_guest();
    std::vector<std::pair<UniqueFd, UniqueFd>> pairs;
    for (int i = 0; i < 1000; ++i) {
        UniqueFd visitor = client();
        pairs.emplace_back(std::move(visitor), accept_one(listener));
    }
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        send_all(pairs[i].first, std::to_string(i));
    }
    for (std::size_t i = 0; i < pairs.size(); ++i) {
        ASSERT_EQ(receive(pairs[i].second), std::to_string(i));
    }
}

TEST_F(RelayTest, KeepsServingWhenItHasNoDescriptorLeft) {
    const rlimit few{40, 40};
    ::prlimit(pid_, RLIMIT_NOFILE, &few, nullptr);
    const UniqueFd listener = listening_guest();
    std::vector<UniqueFd> visitors;
    for (int i = 0; i < 60; ++i) {
        visitors.push_back(client());
    }
    std::this_thread::sleep_for(200ms);
    visitors.clear();
    const UniqueFd late = client();
    send_all(late, "late");
    for (std::string heard; heard != "late";) {
        const UniqueFd guest = accept_one(listener);
        ASSERT_TRUE(guest);
        heard = receive(guest);
    }
}

TEST_F(RelayTest, AnswersADatagramFromWhereItWasSentTo) {
    const UniqueFd guest = bound(SOCK_DGRAM, guest_address, guest_udp_port_);
    std::jthread echo([&] {
        for (int i = 0; i < 200; ++i) {
            std::array<char, 100> data{};
            sockaddr_storage from{};
            socklen_t size = sizeof from;
            auto* const address = reinterpret_cast<sockaddr*>(&from); // NOLINT: the sockets API
            if (!wait_for(guest, POLLIN)) {
                return;
            }
            const ssize_t got = ::recvfrom(guest.get(), data.data(), data.size(), 0, address, &size);
            ::sendto(guest.get(), data.data(), static_cast<std::size_t>(got), 0, address, size);
        }
    });
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 200; ++i) {
        // Connected, so that an answer from another address would not be heard.
        clients.push_back(
            connected(SOCK_DGRAM, SocketAddress(fmt::format("127.0.0.{}", 20 + i % 3), udp_port_)));
        send_all(clients.back(), std::to_string(i));
    }
    for (int i = 0; i < 200; ++i) {
        ASSERT_EQ(receive(clients[static_cast<std::size_t>(i)]), std::to_string(i));
    }
}

TEST_F(RelayTest, OutlivesAGuestWithoutTheUdpPort) {
    const SocketAddress port("127.0.0.1", udp_port_);
    const UniqueFd visitor = connected(SOCK_DGRAM, port);
    send_all(visitor, "nobody there");
    std::this_thread::sleep_for(50ms);
    send_all(visitor, "still nobody");
    const UniqueFd guest = bound(SOCK_DGRAM, guest_address, guest_udp_port_);
    send_all(visitor, "now");
    std::string heard = receive(guest);
    while (heard == "nobody there" || heard == "still nobody") { // the relay was slower than this test
        heard = receive(guest);
    }
    EXPECT_EQ(heard, "now");
}

} // namespace
} // namespace capsul
