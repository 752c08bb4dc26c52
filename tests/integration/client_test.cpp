// The client against a server that answers, word for word, what each test says.
#include "lib/client.hpp"

#include "lib/fd.hpp"
#include "lib/host.hpp"
#include "lib/image.hpp"
#include "lib/vm.hpp"
#include "tests/temporary_folder.hpp"

#include <array>
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

/// One connection, from the server's side.
class Peer {
  public:
    explicit Peer(UniqueFd fd) : fd_(std::move(fd)) {}

    /// A request's head and, by its Content-Length, body; empty when the client has gone.
    std::string read_request() {
        std::string request;
        while (request.find("\r\n\r\n") == std::string::npos) {
            if (!read_byte(request)) {
                return {};
            }
        }
        const auto length = request.find("Content-Length: ");
        const std::size_t body = length == std::string::npos ? 0 : std::stoul(request.substr(length + 16));
        const std::size_t whole = request.find("\r\n\r\n") + 4 + body;
        while (request.size() < whole && read_byte(request)) {
        }
        return request;
    }
    std::string read_until(std::string_view end) {
        std::string text;
        while (!text.ends_with(end) && read_byte(text)) {
        }
        return text;
    }
    void send(std::string_view text) {
        while (!text.empty()) {
            const ssize_t sent = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
            if (sent <= 0) {
                return;
            }
            text.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    void answer(unsigned status, const std::string& body) {
        send(fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
                         status, body.size(), body));
    }
    void start_stream() { send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); }
    void chunk(std::string_view text) { send(fmt::format("{:x}\r\n{}\r\n", text.size(), text)); }

  private:
    bool read_byte(std::string& text) {
        char byte = 0;
        const bool got = ::recv(fd_.get(), &byte, 1, 0) == 1;
        if (got) {
            text += byte;
        }
        return got;
    }
    UniqueFd fd_;
};

/// Serves each connection with the next of the scripts, then no more.
class Server {
  public:
    using Script = std::function<void(Peer&)>;

    explicit Server(std::vector<Script> scripts) : scripts_(std::move(scripts)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket().native().copy(address.sun_path, sizeof address.sun_path - 1);
        listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
        if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_.get(), 8) != 0) {
            throw_errno(errno, "listen");
        }
        thread_ = std::thread([this] { run(); });
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        thread_.join();
    }

    [[nodiscard]] fs::path socket() const { return folder_ / "s"; }
    [[nodiscard]] int connections() const { return connections_; }

  private:
    void run() {
        for (const Script& script : scripts_) {
            UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!fd) {
                return;
            }
            ++connections_;
            Peer peer(std::move(fd));
            script(peer);
        }
    }

    test::TemporaryFolder folder_;
    std::vector<Script> scripts_;
    std::atomic<int> connections_ = 0;
    UniqueFd listener_;
    std::thread thread_;
};

Server::Script answers(unsigned status, const std::string& body) {
    return [=](Peer& peer) {
        while (!peer.read_request().empty()) {
            peer.answer(status, body);
        }
    };
}

const char* const host_json = R"({"version":"1","api":"v1","user":"u"})";
const char* const operation_id = "6f1c1f0e-3f0e-4a57-9d0c-2f7b7f0f5c1a";

std::string operation_json(const std::string& state, const std::string& more = "") {
    return fmt::format(R"({{"id":"{}","kind":"vm.start","target":"web","state":"{}",)"
                       R"("created":"2026-11-22T03:37:03Z"{}}})",
                       operation_id, state, more);
}

const char* const vm_json = R"({"name":"web","state":"running","enabled":true,"unit":"u"})";

template <class Work>
Error error_of(const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return {ErrorCode::internal, ""};
}

TEST(Client, DecodesTheResult) {
    Server server({answers(200, host_json)});
    Client client(server.socket());
    EXPECT_EQ(client.call(HostShow{}).user, "u");
}

TEST(Client, SendsMethodPathAndBody) {
    std::string seen;
    Server server({[&](Peer& peer) {
        seen = peer.read_request();
        peer.answer(202, operation_json("running"));
    }});
    Client client(server.socket());
    EXPECT_EQ(client.begin(VmStop{.name = Name::parse("web"), .timeout = {}, .force = true}).target, "web");
    EXPECT_TRUE(seen.starts_with("POST /v1/vms/web/stop HTTP/1.1\r\n")) << seen;
    EXPECT_NE(seen.find("Host: "), std::string::npos);
    EXPECT_TRUE(seen.ends_with(R"({"timeout":null,"force":true})")) << seen;
}

TEST(Client, KeepsTheConnection) {
    Server server({answers(200, host_json)});
    Client client(server.socket());
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(client.call(HostShow{}).version, "1");
    }
    EXPECT_EQ(server.connections(), 1);
}

TEST(Client, ConnectsAnewWhenTheServerClosedAnIdleConnection) {
    const auto once = [](Peer& peer) {
        peer.read_request();
        peer.answer(200, host_json);
    };
    Server server({once, once, once});
    Client client(server.socket());
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(client.call(HostShow{}).version, "1");
    }
    EXPECT_EQ(server.connections(), 3);
}

TEST(Client, HonoursConnectionClose) {
    const auto closing = [](Peer& peer) {
        peer.read_request();
        peer.send(fmt::format("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
                              std::string_view(host_json).size(), host_json));
        peer.read_request(); // waits until the client has gone
    };
    Server server({closing, closing});
    Client client(server.socket());
    EXPECT_EQ(client.call(HostShow{}).version, "1");
    EXPECT_EQ(client.call(HostShow{}).version, "1");
}

TEST(Client, TellsHowToStartAnAbsentDaemon) {
    const test::TemporaryFolder folder;
    Client client(folder / "none");
    const Error error = error_of([&] { client.call(HostShow{}); });
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
    EXPECT_EQ(exit_code(error.code()), 6);
    EXPECT_EQ(error.hint(), "systemctl --user start capsuld.socket");
    EXPECT_NE(std::string(error.what()).find((folder / "none").string()), std::string::npos);
}

TEST(Client, ThrowsWhatTheDaemonRefuses) {
    Server server({answers(
        404, R"({"title":"vm web: does not exist","status":404,"code":"not_found","hint":"list"})")});
    Client client(server.socket());
    const Error error = error_of([&] { client.call(VmShow{Name::parse("web")}); });
    EXPECT_EQ(error.code(), ErrorCode::not_found);
    EXPECT_STREQ(error.what(), "vm web: does not exist");
    EXPECT_EQ(error.hint(), "list");
}

TEST(Client, UnderstandsARefusalWithMoreKeys) {
    Server server(
        {answers(409, R"({"type":"about:blank","title":"t","status":409,"code":"busy","more":[1]})")});
    Client client(server.socket());
    EXPECT_EQ(error_of([&] { client.call(HostShow{}); }).code(), ErrorCode::busy);
}

TEST(Client, NamesTheStatusOfARefusalWithoutReason) {
    Server server({answers(503, "<html>")});
    Client client(server.socket());
    const Error error = error_of([&] { client.call(HostShow{}); });
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_NE(std::string(error.what()).find("503"), std::string::npos);
}

TEST(Client, TakesAnAnswerItDoesNotUnderstandForNoMistakeOfTheCaller) {
    for (const char* body : {"{", "[]", "", R"({"version":1,"api":"v1","user":"u"})", R"({"new":1})"}) {
        Server server({answers(200, body)});
        Client client(server.socket());
        EXPECT_EQ(error_of([&] { client.call(HostShow{}); }).code(), ErrorCode::internal) << body;
    }
}

TEST(Client, CallsATruncatedAnswerUnreachable) {
    const std::array<std::string, 4> beginnings{
        "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"};
    for (const std::string& beginning : beginnings) {
        Server server({[&](Peer& peer) {
            peer.read_request();
            peer.send(beginning);
        }});
        Client client(server.socket());
        EXPECT_EQ(error_of([&] { client.call(HostShow{}); }).code(), ErrorCode::unreachable) << beginning;
    }
}

TEST(Client, DoesNotWaitForADaemonThatHangs) {
    Server server({[](Peer& peer) {
        peer.read_request();
        peer.read_until("the client's end");
    }});
    Client client(server.socket(), std::chrono::milliseconds(50));
    const Error error = error_of([&] { client.call(HostShow{}); });
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
    EXPECT_STREQ(error.what(), "capsuld does not answer: nothing came in 0.05 s");
}

TEST(Client, SaysThatGarbageIsNotCapsuld) {
    Server server({[](Peer& peer) {
        peer.read_request();
        peer.send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    }});
    Client client(server.socket());
    const Error error = error_of([&] { client.call(HostShow{}); });
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_NE(std::string(error.what()).find("not capsuld"), std::string::npos);
}

TEST(Client, IsOfUseAfterAFailure) {
    Server server({[](Peer& peer) {
                       peer.read_request();
                       peer.send("garbage\r\n\r\n");
                   },
                   answers(200, host_json)});
    Client client(server.socket());
    error_of([&] { client.call(HostShow{}); });
    EXPECT_EQ(client.call(HostShow{}).version, "1");
}

TEST(Client, DoesNotRepeatARequestThatMayHaveBeenHeard) {
    Server server({[](Peer& peer) {
                       peer.read_request();
                       peer.answer(200, host_json);
                       peer.read_request(); // and no answer
                   },
                   answers(202, operation_json("running"))});
    Client client(server.socket());
    client.call(HostShow{});
    EXPECT_EQ(error_of([&] { client.begin(VmStart{Name::parse("web")}); }).code(), ErrorCode::unreachable);
    EXPECT_EQ(server.connections(), 1);
}

/// Starts an operation, and streams these pieces when it is followed.
Server::Script operation_script(std::vector<std::string> pieces, bool complete = true) {
    return [=](Peer& peer) {
        peer.read_request();
        peer.answer(202, operation_json("queued"));
        peer.read_request();
        peer.start_stream();
        for (const std::string& piece : pieces) {
            peer.chunk(piece);
        }
        if (complete) {
            peer.chunk("");
        }
    };
}

TEST(Client, FollowsAnOperationToItsResult) {
    const std::string done = operation_json("done", fmt::format(R"(,"result":{})", vm_json)) + "\n";
    Server server({operation_script({operation_json("running", R"(,"message":"m","percent":5)") + "\n",
                                     done.substr(0, 30), done.substr(30)})});
    Client client(server.socket());
    std::vector<std::string> told;
    const Vm vm = client.call(VmStart{Name::parse("web")}, [&](const Operation& now) {
        told.push_back(std::string(to_string(now.state)) + now.message);
    });
    EXPECT_EQ(vm.state, VmState::running);
    EXPECT_EQ(told, (std::vector<std::string>{"runningm", "done"}));
}

TEST(Client, ThrowsTheErrorOfAnOperation) {
    Server server({operation_script(
        {operation_json("failed",
                        R"(,"error":{"title":"late","status":504,"code":"timeout","hint":"serial:\nline"})") +
         "\n"})});
    Client client(server.socket());
    const Error error = error_of([&] { client.call(VmStart{Name::parse("web")}); });
    EXPECT_EQ(error.code(), ErrorCode::timeout);
    EXPECT_EQ(error.hint(), "serial:\nline");
}

TEST(Client, TellsWhereToLookWhenTheDaemonGoesAwayMeanwhile) {
    for (const bool complete : {true, false}) {
        Server server({operation_script({operation_json("running") + "\n"}, complete)});
        Client client(server.socket());
        const Error error = error_of([&] { client.call(VmStart{Name::parse("web")}); });
        EXPECT_EQ(error.code(), ErrorCode::unreachable);
        EXPECT_NE(error.hint().find("`capsulctl vm show`"), std::string::npos) << error.hint();
    }
}

TEST(Client, GivesAStreamPieceByPiece) {
    Server server({[](Peer& peer) {
        peer.read_request();
        peer.start_stream();
        peer.chunk("one");
        peer.read_until("!"); // holds back the rest until the client has gone
    }});
    Client client(server.socket());
    std::string seen;
    client.stream(VmLogs{.name = Name::parse("web")}, [&](std::string_view piece) {
        seen += piece;
        return false;
    });
    EXPECT_EQ(seen, "one");
}

TEST(Client, ThrowsTheRefusalOfAStream) {
    Server server({answers(404, R"({"title":"t","status":404,"code":"not_found"})")});
    Client client(server.socket());
    const Error error = error_of([&] { client.stream(EventList{}, [](std::string_view) { return true; }); });
    EXPECT_EQ(error.code(), ErrorCode::not_found);
}

TEST(Client, GivesAFileWhole) {
    Server server({answers(200, "the content")});
    Client client(server.socket());
    std::string content;
    client.download(DownloadFile{Uuid::make()}, [&](std::string_view piece) {
        content += piece;
        return true;
    });
    EXPECT_EQ(content, "the content");
}

TEST(Client, CallsAFileThatIsCutOffUnreachable) {
    Server server({[](Peer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it");
    }});
    Client client(server.socket());
    const Error error =
        error_of([&] { client.download(DownloadFile{Uuid::make()}, [](std::string_view) { return true; }); });
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
}

TEST(Client, LosesNoByteBehindTheHeadOfATunnel) {
    Server server({[](Peer& peer) {
        const std::string request = peer.read_request();
        EXPECT_NE(request.find("Upgrade: capsul-stream\r\n"), std::string::npos);
        peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: capsul-stream\r\nConnection: "
                  "Upgrade\r\n\r\nlogin: ");
        peer.send(peer.read_until("\n"));
    }});
    Client client(server.socket());
    const UniqueFd tunnel = client.tunnel(VmConsole{Name::parse("web")});
    write_all(tunnel.get(), "root\n", "tunnel");
    std::string seen;
    std::array<char, 100> buffer{};
    ssize_t got = 0;
    while ((got = ::read(tunnel.get(), buffer.data(), buffer.size())) > 0) {
        seen.append(buffer.data(), static_cast<std::size_t>(got));
    }
    EXPECT_EQ(seen, "login: root\n");
}

TEST(Client, ThrowsTheRefusalOfATunnel) {
    Server server({answers(409, R"({"title":"somebody is attached","status":409,"code":"in_use"})")});
    Client client(server.socket());
    EXPECT_EQ(error_of([&] { static_cast<void>(client.tunnel(VmConsole{Name::parse("web")})); }).code(),
              ErrorCode::in_use);
}

const char* const upload_json =
    R"({"id":"6f1c1f0e-3f0e-4a57-9d0c-2f7b7f0f5c1a","size":7,)"
    R"("digest":"sha256:0123456789012345678901234567890123456789012345678901234567890123"})";

UniqueFd file_with(const fs::path& path, const std::string& content) {
    replace_file(path, content);
    return open_file(path, O_RDONLY);
}

TEST(Client, UploadsAFileWithItsLength) {
    std::string seen;
    Server server({[&](Peer& peer) {
        seen = peer.read_request();
        peer.answer(200, upload_json);
    }});
    const test::TemporaryFolder folder;
    const UniqueFd file = file_with(folder / "f", "content");
    std::uint64_t sent = 0;
    Client client(server.socket());
    const Upload upload = client.upload(UploadFile{.sha256 = "ab", .sha512 = {}}, file.get(),
                                        [&](std::uint64_t bytes) { sent = bytes; });
    EXPECT_EQ(upload.size, 7U);
    EXPECT_EQ(sent, 7U);
    EXPECT_TRUE(seen.starts_with("POST /v1/uploads?sha256=ab HTTP/1.1\r\n")) << seen;
    EXPECT_NE(seen.find("Content-Length: 7\r\n"), std::string::npos) << seen;
    EXPECT_TRUE(seen.ends_with("\r\n\r\ncontent")) << seen;
}

TEST(Client, UploadsWhatIsLeftOfAFile) {
    std::string seen;
    Server server({[&](Peer& peer) {
        seen = peer.read_request();
        peer.answer(200, upload_json);
    }});
    const test::TemporaryFolder folder;
    const UniqueFd file = file_with(folder / "f", "content");
    ::lseek(file.get(), 3, SEEK_SET);
    Client client(server.socket());
    static_cast<void>(client.upload(UploadFile{}, file.get()));
    EXPECT_TRUE(seen.ends_with("\r\n\r\ntent")) << seen;
}

TEST(Client, UploadsAPipeInChunks) {
    std::string seen;
    Server server({[&](Peer& peer) {
        seen = peer.read_until("0\r\n\r\n");
        peer.answer(200, upload_json);
    }});
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const UniqueFd source(ends[0]);
    write_all(ends[1], "content", "pipe");
    ::close(ends[1]);
    Client client(server.socket());
    static_cast<void>(client.upload(UploadFile{}, source.get()));
    EXPECT_NE(seen.find("Transfer-Encoding: chunked\r\n"), std::string::npos) << seen;
    EXPECT_TRUE(seen.ends_with("7\r\ncontent\r\n0\r\n\r\n")) << seen;
}

TEST(Client, ShowsARefusalThatComesBeforeAllIsSent) {
    // Once the server hangs up behind its answer, once it waits without reading on.
    for (const bool hangs_up : {true, false}) {
        Server server({[&](Peer& peer) {
            peer.read_until("\r\n\r\n");
            peer.answer(413, R"({"title":"too big","status":413,"code":"too_large"})");
            if (!hangs_up) {
                std::this_thread::sleep_for(std::chrono::milliseconds(300));
            }
        }});
        const test::TemporaryFolder folder;
        const UniqueFd file = file_with(folder / "f", std::string(std::size_t{8} << 20U, 'x'));
        Client client(server.socket());
        const Error error = error_of([&] { static_cast<void>(client.upload(UploadFile{}, file.get())); });
        EXPECT_EQ(error.code(), ErrorCode::too_large) << error.what();
    }
}

} // namespace
} // namespace capsul
