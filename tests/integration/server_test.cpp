#include "tests/integration/server_fixture.hpp"

#include <array>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace std::chrono_literals;
namespace http = boost::beast::http;

namespace capsul::test {
namespace {

Json body_of(const HttpAnswer& answer) {
    return parse_json(answer.body());
}

void expect_problem(const HttpAnswer& answer, unsigned status, const std::string& code) {
    EXPECT_EQ(answer.result_int(), status) << answer.body();
    EXPECT_EQ(answer[http::field::content_type], "application/problem+json");
    EXPECT_EQ(body_of(answer).at("code"), code) << answer.body();
    EXPECT_EQ(body_of(answer).at("status"), status);
    EXPECT_TRUE(answer.body().ends_with("}\n"));
}

/// What is given out and what is kept.
struct Pair {
    UniqueFd theirs;
    UniqueFd ours;
};

Pair socket_pair() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        throw_errno(errno, "socketpair");
    }
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

/// Every test: afterwards no descriptor is open that was not before.
class ServerTest : public testing::Test {
  protected:
    void TearDown() override {
        EXPECT_TRUE(eventually([this] { return open_descriptors() == before_; }))
            << open_descriptors() << " descriptors, before " << before_;
    }

  private:
    std::size_t before_ = open_descriptors();
};

TEST_F(ServerTest, AnswersAValueAsJsonThatEndsInANewline) {
    TestServer server;
    RawClient client = server.client();
    const HttpAnswer answer = client.ask(post("/v1/echo", R"({"text": "hi"})"));
    EXPECT_EQ(answer.result_int(), 200U);
    EXPECT_EQ(answer[http::field::content_type], "application/json");
    EXPECT_EQ(answer.body(), "{\"text\":\"hi\"}\n");
}

TEST_F(ServerTest, AnswersManyRequestsOnOneConnection) {
    TestServer server;
    RawClient client = server.client();
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(client.ask(get("/v1/ping")).result_int(), 200U);
    }
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
    TestServer server;
    RawClient client = server.client();
    std::string requests;
    for (int i = 0; i < 50; ++i) {
        requests += post("/v1/echo", fmt::format(R"({{"text": "{}"}})", i));
    }
    ASSERT_TRUE(client.send(requests));
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(body_of(client.answer()).at("text"), std::to_string(i));
    }
}

TEST_F(ServerTest, ClosesWhenAskedTo) {
    TestServer server;
    RawClient client = server.client();
    const HttpAnswer answer = client.ask(get("/v1/ping", "Connection: close\r\n"));
    EXPECT_FALSE(answer.keep_alive());
    EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, AnswersAnOperationWith202AndItsPlace) {
    TestServer server;
    const HttpAnswer answer = server.client().ask(post("/v1/jobs", ""));
    EXPECT_EQ(answer.result_int(), 202U);
    EXPECT_EQ(answer[http::field::location], "/v1/operations/17");
}

TEST_F(ServerTest, AnswersAnErrorAsAProblem) {
    TestServer server;
    const HttpAnswer answer = server.client().ask(post("/v1/fail", "{}"));
    expect_problem(answer, 409, "in_use");
    EXPECT_EQ(body_of(answer).at("title"), "web uses it");
    EXPECT_EQ(body_of(answer).at("hint"), "stop web");
}

TEST_F(ServerTest, KeepsTheWordsOfAnUnexpectedExceptionToItself) {
    TestServer server;
    const HttpAnswer answer = server.client().ask(post("/v1/crash", ""));
    expect_problem(answer, 500, "internal");
    EXPECT_EQ(answer.body().find("secret"), std::string::npos);
}

TEST_F(ServerTest, RefusesUnknownPathsAndMethods) {
    TestServer server;
    RawClient client = server.client();
    expect_problem(client.ask(get("/v1/nothing")), 404, "not_found");
    expect_problem(client.ask(get("/")), 404, "not_found");
    expect_problem(client.ask("OPTIONS * HTTP/1.1\r\nHost: c\r\n\r\n"), 404, "not_found");
    const HttpAnswer other = client.ask("DELETE /v1/ping HTTP/1.1\r\nHost: c\r\n\r\n");
    expect_problem(other, 405, "invalid");
    EXPECT_EQ(other[http::field::allow], "GET");
    expect_problem(client.ask("PUT /v1/echo HTTP/1.1\r\nHost: c\r\n\r\n"), 405, "invalid");
    EXPECT_EQ(client.ask(get("/v1/ping")).result_int(), 200U);
}

TEST_F(ServerTest, RefusesHeadWithoutABody) {
    TestServer server;
    RawClient client = server.client();
    ASSERT_TRUE(client.send("HEAD /v1/ping HTTP/1.1\r\nHost: c\r\n\r\n"));
    EXPECT_EQ(client.head().result_int(), 405U);
    EXPECT_EQ(client.ask(get("/v1/ping")).result_int(), 200U);
}

TEST_F(ServerTest, RefusesABrowser) {
    TestServer server;
    expect_problem(server.client().ask(get("/v1/ping", "Origin: http://evil.example\r\n")), 403, "denied");
}

TEST_F(ServerTest, RefusesWhatIsNotHttp11) {
    TestServer server;
    expect_problem(server.client().ask("GET /v1/ping HTTP/1.0\r\n\r\n"), 400, "invalid");
    for (const std::string garbage :
         {"\x16\x03\x01\x02garbage\r\n\r\n", "\r\n\r\nx\r\n", "GET\r\n\r\n",
          "GET /v1/ping HTTP/1.1\r\nBad Header: x\r\n\r\n",
          "POST /v1/echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
          "POST /v1/echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
          "POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
        RawClient client = server.client();
        expect_problem(client.ask(garbage), 400, "invalid");
        client.end_of_sending();
        EXPECT_TRUE(client.at_end());
    }
}

TEST_F(ServerTest, RefusesBadPercentEncoding) {
    TestServer server;
    expect_problem(server.client().ask(get("/v1/big?size=%zz")), 400, "invalid");
}

TEST_F(ServerTest, RefusesALongHead) {
    TestServer server;
    RawClient client = server.client();
    expect_problem(client.ask(get("/v1/ping", "X-Long: " + std::string(9'000, 'x') + "\r\n")), 431,
                   "invalid");
    RawClient endless = server.client();
    endless.send("GET /v1/ping HTTP/1.1\r\n");
    while (endless.send(std::string(10'000, 'x') + ": y\r\n") && false) {
    }
    expect_problem(endless.answer(), 431, "invalid");
}

TEST_F(ServerTest, AnswersAHalfClosedClient) {
    TestServer server;
    RawClient client = server.client();
    client.send(get("/v1/ping"));
    client.end_of_sending();
    EXPECT_EQ(client.answer().result_int(), 200U);
    EXPECT_TRUE(client.at_end());

    RawClient cut_off = server.client();
    cut_off.send("GET /v1/pi");
    cut_off.end_of_sending();
    expect_problem(cut_off.answer(), 400, "invalid");
    EXPECT_TRUE(cut_off.at_end());
}

TEST_F(ServerTest, RefusesALongBodyBeforeItIsSent) {
    TestServer server;
    RawClient client = server.client();
    expect_problem(client.ask("POST /v1/echo HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"), 413, "too_large");
}

TEST_F(ServerTest, RefusesALongBodyWhileItIsSent) {
    TestServer server;
    RawClient client = server.client();
    client.send("POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
    for (int i = 0; i < 17; ++i) {
        client.send(chunk);
    }
    expect_problem(client.answer(), 413, "too_large");
}

TEST_F(ServerTest, TellsAClientThatSendsAHundredMegabytesWhatIsWrong) {
    TestServer server;
    RawClient client = server.client();
    client.send(fmt::format("POST /v1/echo HTTP/1.1\r\nContent-Length: {}\r\n\r\n", 100 << 20));
    const std::string piece(std::size_t{1} << 20U, 'x');
    for (int i = 0; i < 100 && client.send(piece); ++i) {
    }
    expect_problem(client.answer(), 413, "too_large");
}

TEST_F(ServerTest, InvitesABodyThatWaitsForIt) {
    TestServer server;
    RawClient client = server.client();
    client.send("POST /v1/echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 14\r\n\r\n");
    EXPECT_EQ(client.head().result_int(), 100U);
    EXPECT_EQ(body_of(client.ask(R"({"text": "hi"})")).at("text"), "hi");
}

TEST_F(ServerTest, SendsALongAnswerWhole) {
    TestServer server;
    const HttpAnswer answer = server.client().ask(get("/v1/big?size=20000000"));
    EXPECT_EQ(answer.body().size(), 20'000'000 + std::string("{\"text\":\"\"}\n").size());
}

TEST_F(ServerTest, DropsSlowClients) {
    TestServer server({}, {.head = 100ms, .body = 100ms, .progress = 100ms});
    RawClient silent = server.client();
    EXPECT_TRUE(silent.at_end());

    RawClient slow_head = server.client();
    slow_head.send("GET /v1/ping HTTP/1.1\r\n");
    EXPECT_TRUE(slow_head.at_end());

    RawClient dripping = server.client();
    const auto begin = std::chrono::steady_clock::now();
    while (dripping.send("x")) { // one byte at a time never makes it wait longer
        std::this_thread::sleep_for(1ms);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 3s);

    RawClient slow_body = server.client();
    slow_body.send("POST /v1/echo HTTP/1.1\r\nContent-Length: 14\r\n\r\n{");
    EXPECT_TRUE(slow_body.at_end());

    TestServer impatient({}, {.idle = 100ms});
    RawClient idle = impatient.client();
    idle.ask(get("/v1/ping"));
    EXPECT_TRUE(idle.at_end());

    RawClient slow_upload = server.client();
    slow_upload.send("POST /v1/files HTTP/1.1\r\nContent-Length: 14\r\n\r\n{");
    EXPECT_TRUE(slow_upload.at_end());
}

TEST_F(ServerTest, DropsAClientThatDoesNotReadItsAnswer) {
    TestServer server({}, {.progress = 100ms});
    Token token;
    auto [source, ours] = socket_pair();
    server.owner = token.make();
    server.source = std::move(source);
    RawClient stream = server.client();
    stream.send(get("/v1/stream"));
    const std::string piece(std::size_t{1} << 16U, 'x');
    while (::send(ours.get(), piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
    }
    EXPECT_TRUE(token.dropped());

    RawClient big = server.client();
    big.send(get("/v1/big?size=20000000"));
    RawClient other = server.client(); // is served all the while
    EXPECT_EQ(other.ask(get("/v1/ping")).result_int(), 200U);
    EXPECT_TRUE(big.is_dropped());
    EXPECT_LT(big.raw(20'000'000).size(), 20'000'000U);
}

TEST_F(ServerTest, ServesManyClientsAtOnce) {
    TestServer server({.group = {}, .connections = 100, .connections_per_user = 100});
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 64; ++i) {
        threads.emplace_back([&, i] {
            RawClient client = server.client();
            for (int n = 0; n < 20; ++n) {
                const std::string text = fmt::format("{}-{}", i, n);
                const HttpAnswer answer = client.ask(post("/v1/echo", R"({"text": ")" + text + "\"}"));
                good += body_of(answer).at("text") == text ? 1 : 0;
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_EQ(good, 64 * 20);
}

TEST_F(ServerTest, OutlivesAClientThatLeavesDuringItsCall) {
    TestServer server;
    RawClient client = server.client();
    client.send(get("/v1/slow"));
    server.wait_for_slow(1);
    client.close();
    server.release();
    EXPECT_EQ(server.client().ask(get("/v1/slow")).result_int(), 200U);
}

TEST_F(ServerTest, CallsTheTickAllTheTime) {
    TestServer server;
    EXPECT_TRUE(eventually([&] { return server.ticks >= 3; }));
}

// Streams

TEST_F(ServerTest, StreamsWhatTheSourceGivesAsItComes) {
    TestServer server;
    Token token;
    auto [source, ours] = socket_pair();
    server.owner = token.make();
    server.source = std::move(source);
    RawClient client = server.client();
    client.send(get("/v1/stream"));
    EXPECT_EQ(client.head()[http::field::content_type], "text/plain");
    write_all(ours.get(), "one", "source");
    EXPECT_EQ(client.raw(8), "3\r\none\r\n");
    write_all(ours.get(), "three", "source");
    EXPECT_EQ(client.raw(10), "5\r\nthree\r\n");
    ours.reset();
    EXPECT_EQ(client.raw(5), "0\r\n\r\n");
    EXPECT_TRUE(token.dropped());
    EXPECT_EQ(client.ask(get("/v1/ping")).result_int(), 200U);
}

TEST_F(ServerTest, StreamsAFile) {
    TestServer server;
    server.source = UniqueFd(::memfd_create("test", MFD_CLOEXEC));
    const std::string content(1'000'000, 'x');
    write_all(server.source.get(), content, "memfd");
    ::lseek(server.source.get(), 0, SEEK_SET);
    EXPECT_EQ(server.client().ask(get("/v1/stream")).body(), content);
}

TEST_F(ServerTest, DropsTheSourceWhenTheClientLeavesASilentStream) {
    TestServer server;
    Token token;
    auto [source, ours] = socket_pair();
    server.owner = token.make();
    server.source = std::move(source);
    RawClient client = server.client();
    client.send(get("/v1/stream"));
    client.head();
    client.close();
    EXPECT_TRUE(token.dropped());
    char byte = 0;
    EXPECT_EQ(::read(ours.get(), &byte, 1), 0);
}

TEST_F(ServerTest, StreamsToAHalfClosedClient) {
    TestServer server;
    auto [source, ours] = socket_pair();
    server.source = std::move(source);
    RawClient client = server.client();
    client.send(get("/v1/stream"));
    client.end_of_sending();
    client.head();
    write_all(ours.get(), "one", "source");
    EXPECT_EQ(client.raw(8), "3\r\none\r\n");
    ours.reset();
    EXPECT_EQ(client.raw(5), "0\r\n\r\n");
    EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, StreamsHoldNoHandlerThread) {
    TestServer server({.group = {}, .threads = 1});
    std::vector<UniqueFd> sources;
    std::vector<RawClient> clients;
    for (int i = 0; i < 20; ++i) {
        auto [source, ours] = socket_pair();
        sources.push_back(std::move(ours));
        server.source = std::move(source);
        clients.push_back(server.client());
        clients.back().send(get("/v1/stream"));
        clients.back().head();
    }
    EXPECT_EQ(server.client().ask(get("/v1/ping")).result_int(), 200U);
}

// Tunnels

const std::string upgrade = "Connection: Upgrade\r\nUpgrade: capsul-stream\r\n";

TEST_F(ServerTest, AsksForTheUpgradeHeadersOfATunnel) {
    TestServer server;
    const HttpAnswer answer = server.client().ask(get("/v1/tunnel"));
    expect_problem(answer, 426, "invalid");
    EXPECT_EQ(answer[http::field::upgrade], "capsul-stream");
    expect_problem(server.client().ask(get("/v1/tunnel", "Connection: Upgrade\r\nUpgrade: websocket\r\n")),
                   426, "invalid");
}

TEST_F(ServerTest, RelaysBothWays) {
    TestServer server;
    auto [theirs, ours] = socket_pair();
    server.tunnel = std::move(theirs);
    RawClient client = server.client();
    client.send(get("/v1/tunnel", upgrade) + "early");
    EXPECT_EQ(client.head().result_int(), 101U);
    std::thread echo([&peer = ours] {
        std::array<char, 10'000> piece{};
        for (ssize_t got = 0; (got = ::read(peer.get(), piece.data(), piece.size())) > 0;) {
            write_all(peer.get(), std::string_view(piece.data(), static_cast<std::size_t>(got)), "peer");
        }
        peer.reset();
    });
    std::string sent;
    for (int i = 0; sent.size() < 4'000'000; ++i) {
        sent += std::to_string(i);
    }
    std::thread sender([&] {
        client.send(sent);
        client.end_of_sending();
    });
    EXPECT_EQ(client.raw(5 + sent.size()), "early" + sent);
    EXPECT_TRUE(client.at_end());
    sender.join();
    echo.join();
}

TEST_F(ServerTest, EndsATunnelWhenEitherSideDoes) {
    TestServer server;
    Token first;
    Token second;
    {
        auto [theirs, ours] = socket_pair();
        server.tunnel = std::move(theirs);
        server.owner = first.make();
        RawClient client = server.client();
        client.send(get("/v1/tunnel", upgrade));
        client.head();
        write_all(ours.get(), "bye", "peer");
        ours.reset();
        EXPECT_EQ(client.raw(3), "bye");
        EXPECT_TRUE(client.at_end());
        EXPECT_TRUE(first.dropped());
    }
    auto [theirs, ours] = socket_pair();
    {
        const std::lock_guard lock(server.mutex);
        server.tunnel = std::move(theirs);
        server.owner = second.make();
    }
    RawClient client = server.client();
    client.send(get("/v1/tunnel", upgrade));
    client.head();
    client.close();
    EXPECT_TRUE(second.dropped());
}

TEST_F(ServerTest, EndsATunnelWhoseFullPeerDoesNotReadWhenTheClientLeaves) {
    TestServer server;
    Token token;
    auto [theirs, ours] = socket_pair();
    server.tunnel = std::move(theirs);
    server.owner = token.make();
    RawClient client = server.client();
    client.send(get("/v1/tunnel", upgrade));
    client.head();
    const std::string piece(std::size_t{1} << 16U, 'x');
    while (::send(client.fd(), piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
    client.close();
    EXPECT_TRUE(token.dropped());
}

// Uploads

TEST_F(ServerTest, TakesAnUploadOfAnySize) {
    TestServer server;
    RawClient client = server.client();
    const std::string file(std::size_t{20} << 20U, 'x');
    EXPECT_EQ(body_of(client.ask(post("/v1/files", file))).at("size"), file.size());
    EXPECT_EQ(client.ask(get("/v1/ping")).result_int(), 200U);
}

TEST_F(ServerTest, TakesAnUploadInChunksOnceInvited) {
    TestServer server;
    RawClient client = server.client();
    client.send("POST /v1/files HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n");
    EXPECT_EQ(client.head().result_int(), 100U);
    client.send("3\r\nabc\r\n200000\r\n" + std::string(0x200000, 'x') + "\r\n0\r\n\r\n");
    EXPECT_EQ(body_of(client.answer()).at("size"), 3 + 0x200000);
}

TEST_F(ServerTest, TakesAnEmptyUpload) {
    TestServer server;
    EXPECT_EQ(body_of(server.client().ask(post("/v1/files", ""))).at("size"), 0);
}

TEST_F(ServerTest, EndsAnUploadThatCannotBeWritten) {
    TestServer server;
    Token token;
    server.upload_limit = std::uint64_t{3} << 20U;
    server.owner = token.make();
    RawClient client = server.client();
    client.send(fmt::format("POST /v1/files HTTP/1.1\r\nContent-Length: {}\r\n\r\n", 100 << 20));
    const std::string piece(std::size_t{1} << 20U, 'x');
    for (int i = 0; i < 100 && client.send(piece); ++i) {
    }
    expect_problem(client.answer(), 507, "no_space");
    EXPECT_TRUE(token.dropped());
    EXPECT_LE(server.uploaded, std::uint64_t{4} << 20U);
}

TEST_F(ServerTest, DropsAnUploadWhoseClientLeaves) {
    TestServer server;
    Token token;
    server.owner = token.make();
    RawClient client = server.client();
    client.send("POST /v1/files HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + std::string(2'000'000, 'x'));
    client.close();
    EXPECT_TRUE(token.dropped());
}

// Downloads

TEST_F(ServerTest, SendsAFileWithItsLength) {
    TestServer server;
    Token token;
    server.owner = token.make();
    server.download_size = 5'000'000;
    server.download_left = 5'000'000;
    RawClient client = server.client();
    const HttpAnswer answer = client.ask(get("/v1/fetch"));
    EXPECT_EQ(answer["Content-Length"], "5000000");
    EXPECT_EQ(answer.body(), std::string(5'000'000, 'x'));
    EXPECT_TRUE(token.dropped());
    EXPECT_EQ(client.ask(get("/v1/ping")).result_int(), 200U) << "on the same connection";
}

TEST_F(ServerTest, SendsAnEmptyFile) {
    TestServer server;
    EXPECT_EQ(server.client().ask(get("/v1/fetch")).body(), "");
}

TEST_F(ServerTest, ClosesWhenAFileTurnsOutShorter) {
    TestServer server;
    server.download_size = 5'000'000;
    server.download_left = 2'000'000;
    RawClient client = server.client();
    client.send(get("/v1/fetch"));
    client.head();
    EXPECT_EQ(client.raw(5'000'000).size(), 2'000'000U);
    EXPECT_TRUE(client.at_end());
}

TEST_F(ServerTest, DropsAFileWhoseClientLeaves) {
    TestServer server;
    Token token;
    server.owner = token.make();
    server.download_size = 7'000'000; // more than fits into a socket
    server.download_left = 7'000'000;
    RawClient client = server.client();
    client.send(get("/v1/fetch"));
    client.head();
    client.close();
    EXPECT_TRUE(token.dropped());
}

// Who, and how many

TEST_F(ServerTest, RefusesSurplusConnectionsAndServesTheOthers) {
    TestServer server({.group = {}, .connections = 10, .connections_per_user = 10});
    std::vector<RawClient> clients;
    for (int i = 0; i < 10; ++i) {
        clients.push_back(server.client());
        EXPECT_EQ(clients.back().ask(get("/v1/ping")).result_int(), 200U);
    }
    RawClient surplus = server.client();
    expect_problem(surplus.answer(), 429, "busy");
    surplus.end_of_sending();
    EXPECT_TRUE(surplus.at_end());

    std::vector<UniqueFd> flood;
    for (int i = 0; i < 500; ++i) {
        flood.push_back(connect_unix(server.socket()));
        if (i % 50 == 0) {
            EXPECT_EQ(clients.front().ask(get("/v1/ping")).result_int(), 200U);
        }
    }
    flood.clear();
    clients.pop_back();
    EXPECT_TRUE(eventually([&] { return server.client().ask(get("/v1/ping")).result_int() == 200; }));
}

/// Does something as another user, on a thread of its own: system calls change one thread's user only.
void as_user(long uid, const std::function<void()>& action) {
    std::thread([&] {
        ASSERT_EQ(::syscall(SYS_setresuid, -1, uid, -1), 0);
        action();
    }).join();
}

TEST_F(ServerTest, RefusesStrangersAndLimitsEachUserAlone) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "only root can be somebody else";
    }
    TestServer server({.group = {}, .connections = 10, .connections_per_user = 2}, {}, 65'001);
    std::filesystem::permissions(server.socket(), std::filesystem::perms(0666));
    std::filesystem::permissions(server.socket().parent_path(), std::filesystem::perms(0755));
    as_user(65'002, [&] { expect_problem(server.client().answer(), 403, "denied"); });
    as_user(65'001, [&] {
        RawClient one = server.client();
        RawClient two = server.client();
        EXPECT_EQ(one.ask(get("/v1/ping")).result_int(), 200U);
        EXPECT_EQ(two.ask(get("/v1/ping")).result_int(), 200U);
        expect_problem(server.client().answer(), 429, "busy");
        as_user(0, [&] { EXPECT_EQ(server.client().ask(get("/v1/ping")).result_int(), 200U); });
    });
}

TEST_F(ServerTest, WaitsQuietlyWhileThereAreNoDescriptors) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "the sanitizers' vptr check makes a pipe, and reports falsely when there are none";
#endif
    TestServer server;
    RawClient first = server.client();
    EXPECT_EQ(first.ask(get("/v1/ping")).result_int(), 200U);
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    std::vector<UniqueFd> taken; // all numbers below the limit
    rlimit low{200, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
    for (UniqueFd fd(::dup(0)); fd; fd = UniqueFd(::dup(0))) {
        taken.push_back(std::move(fd));
    }
    taken.pop_back();
    RawClient waiting = server.client(); // takes the last one; the server has none
    waiting.send(get("/v1/ping"));
    const std::clock_t cpu = std::clock();
    std::this_thread::sleep_for(300ms);
    EXPECT_LT(std::clock() - cpu, CLOCKS_PER_SEC / 10);
    EXPECT_EQ(first.ask(get("/v1/ping")).result_int(), 200U);
    taken.clear();
    EXPECT_EQ(waiting.answer().result_int(), 200U);
    ::setrlimit(RLIMIT_NOFILE, &before);
}

// The end

TEST_F(ServerTest, FinishesWhatRunsBeforeItStops) {
    TestServer server;
    RawClient idle = server.client();
    idle.ask(get("/v1/ping"));
    auto [source, ours] = socket_pair();
    server.source = std::move(source);
    RawClient stream = server.client();
    stream.send(get("/v1/stream"));
    stream.head();
    RawClient running = server.client();
    running.send(get("/v1/slow"));
    server.wait_for_slow(1);
    server.request_stop();
    EXPECT_TRUE(idle.at_end());
    EXPECT_TRUE(stream.at_end());
    EXPECT_THROW(server.client().ask(get("/v1/ping")), std::exception);
    server.release();
    const HttpAnswer answer = running.answer();
    EXPECT_EQ(answer.result_int(), 200U);
    EXPECT_FALSE(answer.keep_alive());
    server.stop();
}

TEST_F(ServerTest, CutsOffWhatRunsTooLongAfterItStops) {
    TestServer server({}, {.stop = 100ms});
    RawClient running = server.client();
    running.send(get("/v1/slow"));
    server.wait_for_slow(1);
    RawClient uploading = server.client();
    uploading.send("POST /v1/files HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" +
                   std::string(2'000'000, 'x'));
    EXPECT_TRUE(eventually([&] { return server.uploaded > 0; }));
    server.stop();
}

TEST_F(ServerTest, StopsUnderLoad) {
    TestServer server({.group = {}, .connections = 100, .connections_per_user = 100});
    std::atomic<int> served = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 16; ++i) {
        threads.emplace_back([&] {
            try {
                RawClient client = server.client();
                while (true) {
                    client.ask(get("/v1/ping"));
                    ++served;
                }
            } catch (const std::exception&) { // NOLINT(bugprone-empty-catch): the server has stopped
            }
        });
    }
    EXPECT_TRUE(eventually([&] { return served > 100; }));
    server.stop();
    for (std::thread& thread : threads) {
        thread.join();
    }
}

TEST_F(ServerTest, RefusesAGroupThatIsNotThere) {
    EXPECT_THROW(TestServer({.group = "no-such-group"}), Error);
}

} // namespace
} // namespace capsul::test
