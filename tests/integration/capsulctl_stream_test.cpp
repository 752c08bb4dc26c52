// capsulctl between a guest and a user: the console, and logs as they come.
#include "tests/integration/capsulctl_fixture.hpp"

#include <array>
#include <csignal>
#include <gtest/gtest.h>
#include <sys/socket.h>

namespace capsul::test {
namespace {

/// A daemon whose VMs have a console, and logs, whose other end is the test's.
class CapsulctlStream : public testing::Test {
  protected:
    void SetUp() override {
        std::array<int, 2> ends{};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        guest = UniqueFd(ends[0]);
        daemon.router.add<VmConsole>([fd = ends[1]](const VmConsole&) {
            return TunnelResponse{UniqueFd(fd), nullptr};
        });
        daemon.router.add<VmLogs>([fd = ends[1]](const VmLogs&) {
            return StreamResponse{"text/plain", UniqueFd(fd), nullptr};
        });
        daemon.serve();
    }

    /// Until nobody takes more for a second.
    static void flood(const std::function<bool(std::string_view)>& send) {
        const std::string line(4095, 'x');
        for (int i = 0; i < 2'000 && send(line + '\n'); ++i) {
        }
    }

    MadeUpDaemon daemon;
    UniqueFd guest;
};

TEST_F(CapsulctlStream, LogsLeaveNoColorOnWhenInterrupted) {
    Capsulctl logs(daemon, {"logs", "web", "-f"}, Capsulctl::On::terminal);
    write_all(guest.get(), "\x1b[8mlogin: ", "the log");
    ASSERT_TRUE(logs.shows("login: "));
    logs.send_signal(SIGINT);
    EXPECT_EQ(logs.wait(), 128 + SIGINT);
    EXPECT_TRUE(logs.out.ends_with("\x1b[8mlogin: \x1b[0m")) << logs.out;
}

TEST_F(CapsulctlStream, ConsolePassesBytesBothWays) {
    Capsulctl console(daemon, {"console", "web", "-q"}, Capsulctl::On::terminal);
    write_all(guest.get(), "\x1b[1mlogin: ", "the console");
    ASSERT_TRUE(console.shows("login: "));
    ASSERT_TRUE(console.type("root\n"));
    std::string typed(5, '\0');
    ASSERT_EQ(::recv(guest.get(), typed.data(), typed.size(), MSG_WAITALL), 5);
    EXPECT_EQ(typed, "root\n");
    ASSERT_TRUE(console.type("\x1d"));
    EXPECT_EQ(console.wait(), 0);
    EXPECT_TRUE(console.out.ends_with("\x1b[0m")) << console.out;
}

TEST_F(CapsulctlStream, ConsolePassesAllOfAPipeAndThenItsOutput) {
    Capsulctl console(daemon, {"console", "web"});
    const std::string sent(3'000'000, 'x');
    std::thread sender([&] {
        EXPECT_TRUE(console.type(sent));
        console.end_of_input();
    });
    std::string got(sent.size(), '\0');
    EXPECT_EQ(::recv(guest.get(), got.data(), got.size(), MSG_WAITALL), static_cast<ssize_t>(sent.size()));
    sender.join();
    EXPECT_EQ(got, sent);
    write_all(guest.get(), "the end", "the console");
    guest.reset();
    EXPECT_EQ(console.wait(), 0);
    EXPECT_EQ(console.out, "the end");
}

TEST_F(CapsulctlStream, AConsoleThatTakesNothingCanBeLeftByKey) {
    Capsulctl console(daemon, {"console", "web", "-q"}, Capsulctl::On::terminal);
    write_all(guest.get(), "login: ", "the console");
    ASSERT_TRUE(console.shows("login: "));
    flood([&](std::string_view bytes) { return console.type(bytes); });
    ASSERT_TRUE(console.type("\x1d"));
    EXPECT_EQ(console.wait(), 0);
}

TEST_F(CapsulctlStream, AConsoleThatTakesNothingIsEndedBySignal) {
    Capsulctl console(daemon, {"console", "web"});
    flood([&](std::string_view bytes) { return console.type(bytes); });
    console.send_signal(SIGTERM);
    EXPECT_EQ(console.wait(), 128 + SIGTERM);
}

TEST_F(CapsulctlStream, AConsoleWhoseReaderReadsNothingIsEndedBySignal) {
    Capsulctl console(daemon, {"console", "web"});
    timeval limit{.tv_sec = 1, .tv_usec = 0};
    ::setsockopt(guest.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    flood([&](std::string_view bytes) {
        return ::send(guest.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
               static_cast<ssize_t>(bytes.size());
    });
    console.send_signal(SIGTERM);
    EXPECT_TRUE(console.ends());
    EXPECT_EQ(console.wait(), 128 + SIGTERM);
}

} // namespace
} // namespace capsul::test
