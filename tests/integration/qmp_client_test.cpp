#include "daemon/qmp_client.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/integration/fake_peer.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <vector>

namespace capsul::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::string_view greeting = R"({"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}})"
                                      "\n";

class Events {
  public:
    QmpClient::OnEvent listener() {
        return [this](const std::string& event, const Json&) {
            const std::lock_guard lock(mutex_);
            list_.push_back(event);
            changed_.notify_all();
        };
    }
    bool wait_for(const std::string& event) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, 20s, [&] { return std::ranges::find(list_, event) != list_.end(); });
    }
    std::ptrdiff_t count(const std::string& event) {
        const std::lock_guard lock(mutex_);
        return std::ranges::count(list_, event);
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> list_;
};

class QemuProcess {
  public:
    explicit QemuProcess(const std::filesystem::path& socket) {
        const std::string qmp = "unix:" + socket.string() + ",server=on,wait=off";
        pid_ = ::fork();
        if (pid_ == 0) {
            ::execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-machine", "q35,accel=tcg",
                     "-m", "32", "-S", "-display", "none", "-qmp", qmp.c_str(), nullptr);
            ::_exit(127);
        }
    }
    QemuProcess(const QemuProcess&) = delete;
    QemuProcess& operator=(const QemuProcess&) = delete;
    ~QemuProcess() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

  private:
    pid_t pid_;
};

template <class Action>
Error error_of(Action action) {
    try {
        action();
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "no Error was thrown";
    return {ErrorCode::internal, ""};
}

/// A server that negotiates and then does as it is told.
class Scripted {
  public:
    explicit Scripted(std::function<void(Peer&)> then)
        : peer_(folder_.path() / "qmp.sock", [then = std::move(then)](Peer& peer) {
              peer.send(greeting);
              peer.send("{\"return\": {}, \"id\": " + id_of(peer.read_line()) + "}\n");
              then(peer);
          }) {}
    [[nodiscard]] std::filesystem::path socket() const { return folder_.path() / "qmp.sock"; }

    static std::string id_of(const std::string& command) {
        return command.empty() ? "0" : Json::parse(command)["id"].dump();
    }

  private:
    TemporaryFolder folder_;
    FakePeer peer_;
};

/// The Error that a command ends with when the server does `then`.
Error error_after(std::function<void(Peer&)> then, std::chrono::milliseconds limit = 20s) {
    const Scripted server(std::move(then));
    Events events;
    QmpClient client(server.socket(), 20s, events.listener());
    Error error = error_of([&] { client.execute("query-status", Json::object(), limit); });
    if (error.code() != ErrorCode::timeout) {
        EXPECT_TRUE(events.wait_for("")) << "the end was not told";
        EXPECT_FALSE(client.connected());
    }
    return error;
}

TEST(QmpClient, TalksToQemu) {
    const TemporaryFolder folder;
    const std::filesystem::path socket = folder.path() / "run/qmp.sock";
    std::filesystem::create_directory(folder.path() / "run");
    const QemuProcess qemu(socket);
    Events events;
    QmpClient client(socket, 20s, events.listener());
    EXPECT_TRUE(client.connected());
    EXPECT_EQ(client.execute("query-status").at("status"), "prelaunch");
    client.execute("cont");
    EXPECT_TRUE(events.wait_for("RESUME"));
    client.execute("stop");
    EXPECT_TRUE(events.wait_for("STOP"));
    client.execute("quit");
    EXPECT_TRUE(events.wait_for(""));
    EXPECT_FALSE(client.connected());
    EXPECT_EQ(events.count(""), 1);
    EXPECT_EQ(error_of([&] { client.execute("query-status"); }).code(), ErrorCode::unreachable);
}

TEST(QmpClient, GivesQemusWords) {
    const TemporaryFolder folder;
    const QemuProcess qemu(folder.path() / "qmp.sock");
    QmpClient client(folder.path() / "qmp.sock", 20s, {});
    const Error error = error_of([&] { client.execute("no-such-command"); });
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("no-such-command has not been found"));
    EXPECT_THAT(error_of([&] {
                    client.execute("cont", Json{{"x", 1}});
                }).what(),
                HasSubstr("'x' is unexpected"));
    EXPECT_EQ(client.execute("query-status").at("running"), false);
}

TEST(QmpClient, GivesQemuADescriptor) {
    const TemporaryFolder folder;
    const QemuProcess qemu(folder.path() / "qmp.sock");
    QmpClient client(folder.path() / "qmp.sock", 20s, {});
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd ours(ends[0]);
    UniqueFd given(ends[1]);
    client.give("net1", given.get());
    given.reset();
    client.execute("netdev_add", {{"type", "socket"}, {"id", "net1"}, {"fd", "net1"}});
    client.execute("netdev_del", {{"id", "net1"}}); // closes it
    pollfd end{ours.get(), POLLHUP, 0};
    EXPECT_EQ(::poll(&end, 1, 20'000), 1);
}

TEST(QmpClient, TellsThatADeviceIsNotThere) {
    const TemporaryFolder folder;
    const QemuProcess qemu(folder.path() / "qmp.sock");
    QmpClient client(folder.path() / "qmp.sock", 20s, {});
    for (const char* command : {"device_del", "netdev_del"}) {
        EXPECT_EQ(error_of([&] { client.execute(command, {{"id", "net1"}}); }).code(), ErrorCode::not_found);
    }
}

TEST(QmpClient, ReadsQemusLongestAnswer) {
    const TemporaryFolder folder;
    const QemuProcess qemu(folder.path() / "qmp.sock");
    QmpClient client(folder.path() / "qmp.sock", 20s, {});
    EXPECT_GT(client.execute("query-qmp-schema", Json::object(), 20s).size(), 500U);
}

TEST(QmpClient, WaitsForASocketInAFolderThatIsNotThereYet) {
    const TemporaryFolder folder;
    const std::filesystem::path socket = folder.path() / "a/b/qmp.sock";
    std::optional<FakePeer> server;
    std::atomic<int> asked = 0;
    // Called between two looks: so the client has looked once before anything is there.
    const auto make_server = [&] {
        if (++asked == 2) {
            std::filesystem::create_directories(socket.parent_path());
        } else if (asked == 3) {
            server.emplace(socket, [](Peer& peer) {
                peer.send(greeting);
                peer.send("{\"return\": {}, \"id\": " + Scripted::id_of(peer.read_line()) + "}\n");
                peer.wait_for_end();
            });
        }
        return false;
    };
    const QmpClient client(socket, 20s, {}, make_server);
    EXPECT_TRUE(client.connected());
}

TEST(QmpClient, GivesUpAtTheLimitWhenThereIsNoSocket) {
    const TemporaryFolder folder;
    EXPECT_EQ(error_of([&] { QmpClient(folder.path() / "qmp.sock", 50ms, {}); }).code(), ErrorCode::timeout);
}

TEST(QmpClient, GivesUpAtOnceWhenQemuEndedEarly) {
    const TemporaryFolder folder;
    const auto begin = std::chrono::steady_clock::now();
    const Error error =
        error_of([&] { QmpClient(folder.path() / "qmp.sock", 600s, {}, [] { return true; }); });
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST(QmpClient, GivesUpOnAServerThatNeverGreets) {
    const TemporaryFolder folder;
    const FakePeer server(folder.path() / "qmp.sock", [](Peer& peer) { peer.wait_for_end(); });
    EXPECT_EQ(error_of([&] { QmpClient(folder.path() / "qmp.sock", 50ms, {}); }).code(), ErrorCode::timeout);
    int asked = 0;
    const auto ended = [&] { return ++asked > 2; };
    EXPECT_EQ(error_of([&] { QmpClient(folder.path() / "qmp.sock", 600s, {}, ended); }).code(),
              ErrorCode::unreachable);
}

TEST(QmpClient, RefusesAServerThatIsNotQmp) {
    const TemporaryFolder folder;
    Events events;
    for (const char* words : {"{\"hello\": 1}\n", "SSH-2.0-OpenSSH\n", "[]\n", "\n", "\xFF\xFE\n"}) {
        std::filesystem::remove(folder.path() / "qmp.sock");
        const FakePeer server(folder.path() / "qmp.sock", [&](Peer& peer) {
            peer.send(words);
            peer.wait_for_end();
        });
        const Error error = error_of([&] { QmpClient(folder.path() / "qmp.sock", 20s, events.listener()); });
        EXPECT_EQ(error.code(), ErrorCode::internal) << words;
    }
    EXPECT_EQ(events.count(""), 0) << "the constructor's Error tells, not an event";
}

TEST(QmpClient, RefusesALineLongerThanItsLimit) {
    const Error error = error_after([](Peer& peer) {
        const std::string part(std::size_t{1} << 20, 'x');
        for (int i = 0; i < 1024 && peer.send(part); ++i) {
        }
    });
    EXPECT_EQ(error.code(), ErrorCode::internal);
    EXPECT_THAT(error.what(), HasSubstr("longer than 1 MiB"));
}

TEST(QmpClient, RefusesDeepJson) {
    const Error error = error_after([](Peer& peer) {
        peer.send(R"({"return": )" + std::string(100'000, '[') + std::string(100'000, ']') + "}\n");
        peer.wait_for_end();
    });
    EXPECT_THAT(error.what(), HasSubstr("too deeply"));
}

TEST(QmpClient, RefusesAnObjectWithEndlessKeys) {
    const Error error = error_after([](Peer& peer) {
        std::string message = "{\"return\": {";
        for (int i = 0; i < 90'000; ++i) {
            message += '"' + std::to_string(i) + "\":1,";
        }
        peer.send(message + "\"x\":1}}\n");
        peer.wait_for_end();
    });
    EXPECT_THAT(error.what(), HasSubstr("too many parts"));
}

TEST(QmpClient, RefusesGarbageAfterNegotiation) {
    for (const char* words : {"garbage\n", "{\"neither\": 1}\n", "1\n", "{\"return\": {}\n", "null\n"}) {
        const Error error = error_after([&](Peer& peer) {
            peer.send(words);
            peer.wait_for_end();
        });
        EXPECT_EQ(error.code(), ErrorCode::internal) << words;
    }
}

TEST(QmpClient, TellsWhenTheConnectionClosesInTheMiddleOfAReply) {
    const Error error = error_after([](Peer& peer) {
        peer.read_line();
        peer.send("{\"return\": {\"status\"");
    });
    EXPECT_EQ(error.code(), ErrorCode::unreachable);
}

TEST(QmpClient, GivesUpOnASilentServerAndGoesOnWithIt) {
    const Scripted server([](Peer& peer) {
        const std::string first = Scripted::id_of(peer.read_line());
        const std::string second = Scripted::id_of(peer.read_line());
        peer.send("{\"return\": \"late\", \"id\": " + first + "}\n");
        peer.send("{\"return\": \"right\", \"id\": " + second + "}\n");
        peer.wait_for_end();
    });
    QmpClient client(server.socket(), 20s, {});
    EXPECT_EQ(error_of([&] { client.execute("one", Json::object(), 50ms); }).code(), ErrorCode::timeout);
    EXPECT_EQ(client.execute("two", Json::object(), 20s), "right");
}

TEST(QmpClient, IgnoresAnswersToNothing) {
    const Scripted server([](Peer& peer) {
        const std::string id = Scripted::id_of(peer.read_line());
        peer.send("{\"return\": 1}\n{\"return\": 2, \"id\": \"x\"}\n{\"return\": 3, \"id\": 99999}\n"
                  "{\"return\": 4, \"id\": -1}\n{\"return\": 5, \"id\": " +
                  id + "}\n");
        peer.wait_for_end();
    });
    QmpClient client(server.socket(), 20s, {});
    EXPECT_EQ(client.execute("x"), 5);
}

TEST(QmpClient, MakesHostileWordsPrintable) {
    const Scripted server([](Peer& peer) {
        const std::string id = Scripted::id_of(peer.read_line());
        peer.send(R"({"error": {"desc": "\u001b[31mred\u0000"}, "id": )" + id + "}\n");
        const std::string next = Scripted::id_of(peer.read_line());
        peer.send(R"({"error": 7, "id": )" + next + "}\n");
        peer.wait_for_end();
    });
    QmpClient client(server.socket(), 20s, {});
    EXPECT_THAT(error_of([&] { client.execute("x"); }).what(), HasSubstr("?[31mred?"));
    EXPECT_EQ(error_of([&] { client.execute("x"); }).code(), ErrorCode::internal);
}

TEST(QmpClient, SurvivesAFloodOfEvents) {
    const Scripted server([](Peer& peer) {
        const std::string id = Scripted::id_of(peer.read_line());
        std::string flood;
        for (int i = 0; i < 1000; ++i) {
            flood += R"({"event": "FLOOD", "data": {"n": 1}, "timestamp": {"seconds": 1, "microseconds": 2}})"
                     "\n";
        }
        for (int i = 0; i < 20; ++i) {
            peer.send(flood);
        }
        peer.send("{\"return\": 1, \"id\": " + id + "}\n");
        peer.wait_for_end();
    });
    std::atomic<int> events = 0;
    QmpClient client(server.socket(), 20s, [&](const std::string& event, const Json& data) {
        events += event == "FLOOD" && data.at("n") == 1 ? 1 : 0;
    });
    EXPECT_EQ(client.execute("x", Json::object(), 60s), 1);
    EXPECT_EQ(events, 20'000);
}

TEST(QmpClient, DoesNotTakeAnEmptyEventForTheEnd) {
    const Scripted server([](Peer& peer) {
        peer.send("{\"event\": \"\"}\n{\"event\": 1}\n{\"event\": \"NEXT\"}\n");
        peer.wait_for_end();
    });
    Events events;
    const QmpClient client(server.socket(), 20s, events.listener());
    EXPECT_TRUE(events.wait_for("NEXT"));
    EXPECT_EQ(events.count(""), 0);
}

TEST(QmpClient, SurvivesAListenerThatThrows) {
    const Scripted server([](Peer& peer) {
        peer.send("{\"event\": \"BAD\"}\n");
        peer.send("{\"return\": 1, \"id\": " + Scripted::id_of(peer.read_line()) + "}\n");
        peer.wait_for_end();
    });
    QmpClient client(server.socket(), 20s,
                     [](const std::string&, const Json&) { throw std::runtime_error("bad"); });
    EXPECT_EQ(client.execute("x"), 1);
}

TEST(QmpClient, GivesUpOnAServerThatDoesNotRead) {
    const Error error = error_after(
        [](Peer& peer) {
            std::this_thread::yield();
            peer.wait_for_end();
        },
        50ms);
    EXPECT_EQ(error.code(), ErrorCode::timeout);
    const TemporaryFolder folder;
    std::promise<void> over;
    const FakePeer server(folder.path() / "qmp.sock", [&](Peer& peer) {
        peer.send(greeting);
        peer.send("{\"return\": {}, \"id\": " + Scripted::id_of(peer.read_line()) + "}\n");
        over.get_future().wait();
    });
    QmpClient client(folder.path() / "qmp.sock", 20s, {});
    const Json large{{"data", std::string(std::size_t{4} << 20, 'x')}};
    EXPECT_EQ(error_of([&] { client.execute("x", large, 50ms); }).code(), ErrorCode::timeout);
    EXPECT_EQ(error_of([&] { client.execute("x", large, 20s); }).code(), ErrorCode::timeout)
        << "half a command went out: the connection is over";
    over.set_value();
}

TEST(QmpClient, ServesManyCallersAtOnce) {
    const Scripted server([](Peer& peer) {
        for (std::string line = peer.read_line(); !line.empty(); line = peer.read_line()) {
            const Json command = Json::parse(line);
            peer.send(Json{{"return", command["arguments"]["n"]}, {"id", command["id"]}}.dump() + "\n");
        }
    });
    QmpClient client(server.socket(), 20s, {});
    std::vector<std::thread> callers;
    for (int n = 0; n < 8; ++n) {
        callers.emplace_back([&client, n] {
            for (int i = 0; i < 50; ++i) {
                EXPECT_EQ(client.execute("echo", Json{{"n", n * 1000 + i}}, 20s), n * 1000 + i);
            }
        });
    }
    for (std::thread& caller : callers) {
        caller.join();
    }
}

TEST(QmpClient, MayBeDestroyedByItsListener) {
    const Scripted server([](Peer& peer) {
        peer.read_line();
        peer.send("{\"event\": \"GO\"}\n");
        peer.wait_for_end();
    });
    std::unique_ptr<QmpClient> client;
    std::promise<void> gone;
    client = std::make_unique<QmpClient>(server.socket(), 20s, [&](const std::string& event, const Json&) {
        if (event == "GO") {
            client.reset();
        } else if (event.empty()) {
            gone.set_value();
        }
    });
    QmpClient& same = *client;
    (void)error_of([&] { same.execute("x", Json::object(), 20s); });
    gone.get_future().wait();
}

} // namespace
} // namespace capsul::test
