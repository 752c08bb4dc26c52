#include "daemon/agent_client.hpp"

#include "lib/base64.hpp"
#include "lib/error.hpp"
#include "tests/integration/fake_agent.hpp"

#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace capsul::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

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

/// A line of JSON that is written on several here.
std::string one_line(const char* json) {
    return Json::parse(json).dump() + "\n";
}

/// An agent that synchronises and hands every command to a function.
class FakeAgent {
  public:
    explicit FakeAgent(std::function<void(Peer&, const Json&)> handle)
        : peer_(socket(), agent_script(std::move(handle))) {}
    [[nodiscard]] std::filesystem::path socket() const { return folder_.path() / "agent.sock"; }

  private:
    TemporaryFolder folder_;
    FakePeer peer_;
};

/// The Error that `exec` ends with when the agent says `words` to everything.
Error error_after(const std::string& words, std::chrono::milliseconds limit = 20s) {
    const FakeAgent agent([&](Peer& peer, const Json&) { peer.send(words); });
    AgentClient client(agent.socket(), 20s);
    return error_of([&] { (void)client.exec({"/bin/true"}, "", limit); });
}

TEST(AgentClient, RunsAProgramAndWaitsForItsEnd) {
    int polls = 0;
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        if (command["execute"] == "guest-exec") {
            EXPECT_EQ(command["arguments"],
                      Json::parse(R"({"path": "cat", "capture-output": true, "arg": ["-n", "a b"],
                                      "input-data": "aGVsbG8="})"));
            answer(peer, {{"pid", 42}});
        } else if (++polls < 3) {
            EXPECT_EQ(command["arguments"]["pid"], 42);
            answer(peer, {{"exited", false}});
        } else {
            answer(peer, {{"exited", true},
                          {"exitcode", 3},
                          {"out-data", "b3V0AA=="},
                          {"err-data", "ZXJy"},
                          {"err-truncated", true}});
        }
    });
    AgentClient client(agent.socket(), 20s);
    const AgentExecResult result = client.exec({"cat", "-n", "a b"}, "hello", 20s);
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_EQ(result.out, std::string("out\0", 4));
    EXPECT_EQ(result.err, "err");
    EXPECT_TRUE(result.truncated);
    EXPECT_EQ(polls, 3);
}

TEST(AgentClient, KeepsTheFirstMebibyteOfEachOutput) {
    constexpr std::size_t mib = std::size_t{1} << 20U;
    std::string err;
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        command["execute"] == "guest-exec"
            ? answer(peer, {{"pid", 1}})
            : answer(peer, {{"out-data", base64_encode(std::string(16 * mib, 'o'))},
                            {"err-data", base64_encode(err)},
                            {"exitcode", 3},
                            {"exited", true}});
    });
    for (const std::size_t length : {16 * mib, mib + 1, mib, mib - 1}) {
        err = std::string(length, 'e');
        const AgentExecResult result = AgentClient(agent.socket(), 100s).exec({"x"}, "", 100s);
        EXPECT_EQ(result.exit_code, 3);
        EXPECT_TRUE(result.truncated);
        EXPECT_TRUE(result.out == std::string(mib, 'o'));
        EXPECT_TRUE(result.err == err.substr(0, mib)) << length;
    }
}

TEST(AgentClient, TellsWholeOutputFromCutOutput) {
    constexpr std::size_t mib = std::size_t{1} << 20U;
    std::string out;
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        command["execute"] == "guest-exec"
            ? answer(peer, {{"pid", 1}})
            : answer(peer, {{"out-data", base64_encode(out)}, {"exitcode", 0}, {"exited", true}});
    });
    for (const std::size_t length : {mib - 1, mib, mib + 1, mib + 2, mib + 3, mib + 4}) {
        out = std::string(length, 'o');
        EXPECT_EQ(AgentClient(agent.socket(), 20s).exec({"x"}, "", 20s).truncated, length > mib) << length;
    }
}

TEST(AgentClient, StopsWaitingWhenItIsToldTo) {
    std::atomic<bool> cancelled = false;
    const FakeAgent agent([&](Peer&, const Json&) { cancelled = true; });
    AgentClient client(agent.socket(), 20s, [&] { return cancelled.load(); });
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(error_of([&] { (void)client.exec({"x"}, "", 1h); }).code(), ErrorCode::unreachable);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

TEST(AgentClient, GivesASignalAs128More) {
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        command["execute"] == "guest-exec" ? answer(peer, {{"pid", 1}})
                                           : answer(peer, {{"exited", true}, {"signal", 9}});
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(client.exec({"x"}, "", 20s).exit_code, 137);
}

TEST(AgentClient, SaysThatAProgramIsMissingInTheGuest) {
    const FakeAgent agent([&](Peer& peer, const Json&) {
        refuse(peer, "Guest agent command failed, error was 'Failed to execute child process "
                     "\xE2\x80\x9Cnope\xE2\x80\x9D "
                     "(No such file or directory)'");
    });
    AgentClient client(agent.socket(), 20s);
    for (int times = 0; times < 2; ++times) {
        const AgentExecResult result = client.exec({"nope"}, "", 20s);
        EXPECT_EQ(result.exit_code, 127);
        EXPECT_EQ(result.err, "nope: no such program in the guest\n");
    }
}

TEST(AgentClient, SaysThatAnAgentMayNotRunPrograms) {
    const FakeAgent agent([&](Peer& peer, const Json&) {
        refuse(peer, "The command guest-exec has been disabled", "CommandNotFound");
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(error_of([&] { (void)client.exec({"x"}, "", 20s); }).code(), ErrorCode::not_capable);
}

TEST(AgentClient, StopsWaitingForAProgramAtTheLimit) {
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        command["execute"] == "guest-exec" ? answer(peer, {{"pid", 1}}) : answer(peer, {{"exited", false}});
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(error_of([&] { (void)client.exec({"x"}, "", 100ms); }).code(), ErrorCode::timeout);
}

TEST(AgentClient, GivesTheAddressesButLoopback) {
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        EXPECT_EQ(command["execute"], "guest-network-get-interfaces");
        peer.send(one_line(R"({"return": [
            {"name": "lo", "ip-addresses": [{"ip-address": "10.9.9.9", "prefix": 8}]},
            {"name": "eth0", "hardware-address": "52:54:00:12:34:56", "ip-addresses": [
                {"ip-address-type": "ipv4", "ip-address": "10.0.2.15", "prefix": 24},
                {"ip-address-type": "ipv6", "ip-address": "FE80::1", "prefix": 64}]},
            {"name": "none"}]})"));
    });
    AgentClient client(agent.socket(), 20s);
    const std::vector<AgentAddress> addresses = client.addresses(20s);
    ASSERT_EQ(addresses.size(), 2U);
    EXPECT_EQ(addresses[0].interface, "eth0");
    EXPECT_EQ(addresses[0].mac, "52:54:00:12:34:56");
    EXPECT_EQ(addresses[0].address, "10.0.2.15");
    EXPECT_EQ(addresses[0].prefix, 24);
    EXPECT_EQ(addresses[1].address, "fe80::1");
    EXPECT_EQ(addresses[1].prefix, 64);
}

TEST(AgentClient, LeavesOutAddressesThatAreNone) {
    const FakeAgent agent([&](Peer& peer, const Json&) {
        peer.send(one_line(
            R"({"return": [7, null, {"name": 1, "ip-addresses": []}, {"name": "a", "ip-addresses": {}},
            {"name": "\u001b[31m", "hardware-address": "52:54:00:12:34:5g", "ip-addresses": [
                5, {}, {"ip-address": "10.0.2.15\n"}, {"ip-address": "1.2.3"}, {"ip-address": "999.1.1.1"},
                {"ip-address": "10.0.0.1", "prefix": 33}, {"ip-address": "::1", "prefix": 128},
                {"ip-address": "127.3.2.1", "prefix": 8}, {"ip-address": "10.0.0.2", "prefix": "x"}]}]})"));
    });
    AgentClient client(agent.socket(), 20s);
    const std::vector<AgentAddress> addresses = client.addresses(20s);
    ASSERT_EQ(addresses.size(), 1U);
    EXPECT_EQ(addresses[0].interface, "?[31m");
    EXPECT_EQ(addresses[0].mac, "");
    EXPECT_EQ(addresses[0].address, "10.0.0.2");
}

TEST(AgentClient, ReadsAFileInParts) {
    std::vector<std::string> commands;
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        commands.push_back(command["execute"].get<std::string>());
        if (commands.back() == "guest-file-open") {
            EXPECT_EQ(command["arguments"]["path"], "/etc/x");
            answer(peer, 7);
        } else if (commands.back() == "guest-file-read") {
            EXPECT_EQ(command["arguments"]["handle"], 7);
            commands.size() == 2 ? answer(peer, {{"count", 3}, {"buf-b64", "YWJj"}, {"eof", false}})
                                 : answer(peer, {{"count", 2}, {"buf-b64", "ZGU="}, {"eof", true}});
        } else {
            answer(peer, Json::object());
        }
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(client.read_file("/etc/x", 5, 20s), "abcde");
    EXPECT_THAT(commands,
                ElementsAre("guest-file-open", "guest-file-read", "guest-file-read", "guest-file-close"));
    commands.clear();
    EXPECT_EQ(error_of([&] { (void)client.read_file("/etc/x", 4, 20s); }).code(), ErrorCode::too_large);
    EXPECT_EQ(commands.back(), "guest-file-close");
}

TEST(AgentClient, GivesNothingForAFileThatIsMissing) {
    const FakeAgent agent([&](Peer& peer, const Json&) {
        refuse(peer, "failed to open file '/x' (mode: 'r'): No such file or directory");
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(client.read_file("/x", 100, 20s), std::nullopt);
}

TEST(AgentClient, GivesUpOnAFileThatNeverEnds) {
    const FakeAgent agent([&](Peer& peer, const Json& command) {
        command["execute"] == "guest-file-open"
            ? answer(peer, 1)
            : answer(peer, {{"count", 0}, {"buf-b64", ""}, {"eof", false}});
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(error_of([&] { (void)client.read_file("/x", 100, 20s); }).code(), ErrorCode::internal);
}

TEST(AgentClient, FindsItsAnswerBehindWhatIsLeftOfAnother) {
    const TemporaryFolder folder;
    const FakePeer peer(folder.path() / "agent.sock", [](Peer& agent) {
        const Json command = read_command(agent);
        agent.send("{\"return\": {\"pid\": 3}}\n" + std::string(100'000, 'x'));
        agent.send("\xFFgarbage\n\xFF{\"return\": 1}\n\xFF[[]\n");
        agent.send("\xFF" + Json{{"return", command["arguments"]["id"]}}.dump() + "\n");
        read_command(agent);
        answer(agent, Json::array());
        agent.wait_for_end();
    });
    AgentClient client(folder.path() / "agent.sock", 20s);
    EXPECT_TRUE(client.addresses(20s).empty());
}

TEST(AgentClient, SaysThatNoAgentAnswers) {
    const TemporaryFolder folder;
    const FakePeer peer(folder.path() / "agent.sock", [](Peer& agent) { agent.wait_for_end(); });
    const Error error = error_of([&] { AgentClient(folder.path() / "agent.sock", 50ms); });
    EXPECT_EQ(error.code(), ErrorCode::timeout);
    EXPECT_THAT(error.hint(), HasSubstr("qemu-guest-agent"));
}

TEST(AgentClient, GivesUpOnAGuestThatNeverStopsTalking) {
    const TemporaryFolder folder;
    for (const char* words : {"x", "\xFF", "\xFF{\"return\": 1}\n"}) {
        std::filesystem::remove(folder.path() / "agent.sock");
        const FakePeer peer(folder.path() / "agent.sock", [&](Peer& agent) {
            while (agent.send(words)) {
            }
        });
        EXPECT_EQ(error_of([&] { AgentClient(folder.path() / "agent.sock", 200ms); }).code(),
                  ErrorCode::timeout);
    }
}

TEST(AgentClient, SaysThatThereIsNoSocket) {
    EXPECT_EQ(error_of([] { AgentClient("/nonexistent/agent.sock", 1s); }).code(), ErrorCode::unreachable);
}

TEST(AgentClient, RefusesAnAnswerLongerThanItsLimit) {
    const FakeAgent agent([&](Peer& peer, const Json&) {
        const std::string part(std::size_t{1} << 20, 'x');
        for (int i = 0; i < 1024 && peer.send(part); ++i) {
        }
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(error_of([&] { (void)client.exec({"x"}, "", 20s); }).code(), ErrorCode::too_large);
    EXPECT_EQ(error_of([&] { (void)client.exec({"x"}, "", 20s); }).code(), ErrorCode::unreachable)
        << "what follows is not to be trusted";
}

TEST(AgentClient, RefusesDeepJson) {
    const std::string deep = "{\"return\": " + std::string(100'000, '[') + std::string(100'000, ']') + "}\n";
    EXPECT_EQ(error_after(deep).code(), ErrorCode::internal);
}

TEST(AgentClient, RefusesMalformedAnswers) {
    for (const char* words :
         {"\n", "garbage\n", "[]\n", "{}\n", "7\n", "{\"return\": {}}\n", "{\"return\": null}\n",
          "{\"return\": {\"pid\": \"x\"}}\n", "{\"return\": {\"pid\": 1.5}}\n", "{\"error\": 1}\n",
          "{\"error\": {\"desc\": 7}}\n", "{\"return\": {\"pid\": 1, \"exited\": true}}\n",
          "{\"return\": {\"pid\": 1, \"exited\": true, \"exitcode\": \"0\"}}\n"}) {
        EXPECT_EQ(error_after(words).code(), ErrorCode::internal) << words;
    }
}

TEST(AgentClient, RefusesBase64ThatIsNone) {
    for (const char* data : {"YWJ", "YW=j", "YWJj=", "YW J", "Y===", "YWK=====", "YWJ\\n", "-_-_", "YR=="}) {
        const std::string answer =
            std::string("{\"return\": {\"pid\": 1, \"exited\": true, \"exitcode\": 0, \"out-data\": \"") +
            data + "\"}}\n";
        EXPECT_EQ(error_after(answer).code(), ErrorCode::internal) << data;
    }
}

TEST(AgentClient, TellsWhenTheConnectionClosesInTheMiddleOfAnAnswer) {
    const TemporaryFolder folder;
    const FakePeer peer(folder.path() / "agent.sock", [](Peer& agent) {
        synchronise(agent);
        read_command(agent);
        agent.send("{\"return\": [");
    });
    AgentClient client(folder.path() / "agent.sock", 20s);
    EXPECT_EQ(error_of([&] { (void)client.addresses(20s); }).code(), ErrorCode::unreachable);
}

TEST(AgentClient, DoesNotTakeALateAnswerForTheNext) {
    std::promise<void> timed_out;
    const FakeAgent agent([&](Peer& peer, const Json&) {
        timed_out.get_future().wait();
        answer(peer, Json::array());
    });
    AgentClient client(agent.socket(), 20s);
    EXPECT_EQ(error_of([&] { (void)client.addresses(50ms); }).code(), ErrorCode::timeout);
    timed_out.set_value();
    EXPECT_EQ(error_of([&] { (void)client.addresses(20s); }).code(), ErrorCode::unreachable);
}

TEST(AgentClient, MakesTheGuestsWordsPrintable) {
    const Error error = error_after("{\"error\": {\"class\": \"x\", \"desc\": \"\\u001b[2J\\u0000gone\"}}\n");
    EXPECT_THAT(error.what(), HasSubstr("?[2J?gone"));
}

TEST(Base64, GivesBackWhatWentIn) {
    std::string data;
    for (int i = 0; i < 256; ++i) {
        EXPECT_EQ(base64_decode(base64_encode(data)), data);
        data += static_cast<char>(255 - i);
    }
    EXPECT_EQ(base64_encode("hello"), "aGVsbG8=");
}

} // namespace
} // namespace capsul::test
