// What capsulctl makes of its words and of a daemon's answers.
#include "tests/integration/capsulctl_fixture.hpp"

#include "lib/image.hpp"

#include <atomic>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace capsul::test {
namespace {

using testing::HasSubstr;
using Words = std::vector<std::string>;

TEST(Capsulctl, ChecksTheOptionsOfAllCommandsBeforeItDoesAnything) {
    MadeUpDaemon daemon;
    daemon.add_done<VmStop>({made_up_vm("web", VmState::stopped), StopKind::graceful});
    daemon.add_done<VmCreate>(made_up_vm("web", VmState::running));
    daemon.serve();
    for (const Words& words : std::vector<Words>{{"vm", "create", "web", "-i", "deb", "--columns", "bogus"},
                                                 {"image", "import", "x", "-", "--columns", "bogus"},
                                                 {"stop", "web", "--progress=bogus"},
                                                 {"stop", "web", "--columns", "name"},
                                                 {"stop", "web", "-o", "csv", "--columns", "bogus"},
                                                 {"ls", "-q", "--columns", "state"},
                                                 {"ls", "--columns", "bogus"},
                                                 {"events", "-f", "--columns", "bogus"},
                                                 {"vm", "unit", "web", "--columns", "name"},
                                                 {"vm", "logs", "web", "-o", "jsonl"},
                                                 {"console", "web", "--log", "-o", "json"},
                                                 {"completion", "bash", "-o", "json"}}) {
        const Outcome outcome = run_capsulctl(daemon, words);
        EXPECT_EQ(outcome.code, 2) << words.front();
        EXPECT_EQ(outcome.out, "");
        const bool as_json = words.back().starts_with("json");
        const std::string said =
            as_json ? "capsulctl: " + Json::parse(outcome.err).at("message").get<std::string>() : outcome.err;
        EXPECT_TRUE(said.starts_with("capsulctl: --")) << outcome.err;
    }
    EXPECT_EQ(daemon.calls, 0);
}

TEST(Capsulctl, TellsTheNameOfAVmThatDidNotGetFarEnough) {
    MadeUpDaemon daemon;
    daemon.add_done<VmCreate>(made_up_vm("made-up", VmState::running));
    daemon.add_failed<VmWait>({ErrorCode::timeout, "not within 5s"});
    daemon.serve();
    const Outcome quiet = run_capsulctl(daemon, {"launch", "-i", "deb", "-q", "--wait", "ssh"});
    EXPECT_EQ(quiet.code, 5);
    EXPECT_EQ(quiet.out, "made-up\n");
    EXPECT_THAT(quiet.err, HasSubstr("not within 5s"));
    const Outcome json = run_capsulctl(daemon, {"launch", "-i", "deb", "--json", "--wait", "ssh"});
    EXPECT_EQ(Json::parse(json.out).at("name"), "made-up");
}

TEST(Capsulctl, WaitsAfterCreatingForNoEnd) {
    MadeUpDaemon daemon;
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"vm", "create", "web", "-i", "x", "--wait", "stopped"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("--wait"));
}

TEST(Capsulctl, GivesAnErrorAsAsciiToATerminal) {
    const Error evil(ErrorCode::in_use, "a\xc2\x9b"
                                        "2Jb\xe2\x80\xae"
                                        "c");
    MadeUpDaemon daemon;
    daemon.router.add<VmShow>([&](const VmShow&) -> Vm { throw evil; });
    daemon.serve();
    const Outcome seen = run_capsulctl(daemon, {"vm", "show", "web", "--json"}, Capsulctl::On::terminal);
    EXPECT_THAT(seen.out, HasSubstr("a\\u009b2Jb\\u202ec"));
    const Outcome piped = run_capsulctl(daemon, {"vm", "show", "web", "--json"});
    EXPECT_THAT(piped.err, HasSubstr(evil.what()));
}

TEST(Capsulctl, GivesErrorsAsJsonAlsoWhenTheLineIsNotUnderstood) {
    MadeUpDaemon daemon;
    for (const Words& words : std::vector<Words>{{"vm", "list", "--json", "--label"},
                                                 {"vm", "create", "x", "-o", "json", "-i", "y", "--cpus"},
                                                 {"vm", "create", "x", "--output=jsonl", "-i", "y", "--cpus"},
                                                 {"vm", "strat", "-ojson"},
                                                 {"vm", "--json"},
                                                 {"--json"}}) {
        const Outcome outcome = run_capsulctl(daemon, words);
        EXPECT_EQ(outcome.code, 2);
        const Json error = Json::parse(outcome.err, nullptr, false);
        ASSERT_TRUE(error.is_object()) << outcome.err;
        EXPECT_EQ(error.at("code"), "invalid");
    }
}

TEST(Capsulctl, GivesHelpWhereverTheWordStands) {
    MadeUpDaemon daemon;
    const std::string text = run_capsulctl(daemon, {"vm", "create", "--help"}).out;
    EXPECT_THAT(text, HasSubstr("Usage: capsulctl vm create"));
    EXPECT_EQ(run_capsulctl(daemon, {"help", "vm", "create"}).out, text);
    EXPECT_EQ(run_capsulctl(daemon, {"--json", "help", "vm", "create"}).out, text);
    EXPECT_THAT(run_capsulctl(daemon, {"help", "vm", "rm"}).out, HasSubstr("Usage: capsulctl vm delete"));
    EXPECT_THAT(run_capsulctl(daemon, {"-q", "help"}).out, HasSubstr("Usage: capsulctl COMMAND"));
    EXPECT_THAT(run_capsulctl(daemon, {"help", "--help"}).out, HasSubstr("Usage: capsulctl help"));
    const Outcome unknown = run_capsulctl(daemon, {"help", "vm", "strat"});
    EXPECT_EQ(unknown.code, 2);
    EXPECT_THAT(unknown.err, HasSubstr("did you mean start?"));
}

TEST(Capsulctl, GivesTheResultOfAStopAsTheApiDoes) {
    MadeUpDaemon daemon;
    daemon.add_done<VmStop>({made_up_vm("web", VmState::stopped), StopKind::forced});
    daemon.add_done<VmRestart>({made_up_vm("web", VmState::running), StopKind::graceful});
    daemon.serve();
    const Json stopped = Json::parse(run_capsulctl(daemon, {"stop", "web", "--json"}).out);
    EXPECT_EQ(stopped.at("how"), "forced");
    EXPECT_EQ(stopped.at("vm").at("name"), "web");
    const Json both = Json::parse(run_capsulctl(daemon, {"restart", "web", "db", "--json"}).out);
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(both.at(1).at("how"), "graceful");
    EXPECT_EQ(run_capsulctl(daemon, {"stop", "web", "-o", "csv"}).out,
              "name,state,how\nweb,stopped,forced\n");
    EXPECT_EQ(run_capsulctl(daemon, {"stop", "web"}).out, "");
}

TEST(Capsulctl, GivesTheImagesThatItRemoved) {
    MadeUpDaemon daemon;
    Image image;
    image.name = Name::parse("lab");
    daemon.add_done<ImageRemove>(image);
    daemon.serve();
    EXPECT_EQ(Json::parse(run_capsulctl(daemon, {"image", "rm", "lab", "--json"}).out).at("name"), "lab");
    EXPECT_EQ(Json::parse(run_capsulctl(daemon, {"image", "rm", "a", "b", "--json"}).out).size(), 2U);
    EXPECT_EQ(run_capsulctl(daemon, {"image", "delete", "lab", "--yes"}).out, "");
}

TEST(Capsulctl, PassesAGuestsBytesUnlessJsonIsWanted) {
    MadeUpDaemon daemon;
    daemon.add_done<VmExec>(
        {.exit_code = 3, .stdout_base64 = "aGkK", .stderr_base64 = "", .truncated = false});
    daemon.serve();
    for (const char* form : {"table", "wide", "csv", "name"}) {
        const Outcome outcome = run_capsulctl(daemon, {"exec", "web", "-o", form, "--", "hello"});
        EXPECT_EQ(outcome.out, "hi\n") << form;
        EXPECT_EQ(outcome.code, 3);
    }
    const std::string line = run_capsulctl(daemon, {"exec", "web", "-o", "jsonl", "--", "hello"}).out;
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    EXPECT_EQ(Json::parse(line).at("stdout_base64"), "aGkK");
}

TEST(Capsulctl, SaysWhatToDoWithMoreInputThanExecTakes) {
    MadeUpDaemon daemon;
    daemon.serve();
    Capsulctl run(daemon, {"exec", "web", "--", "cat"});
    run.type(std::string(1'000'000, 'x'));
    run.end_of_input();
    EXPECT_EQ(run.wait(), 2);
    EXPECT_THAT(run.err, HasSubstr("longer than 700 KiB"));
    EXPECT_THAT(run.err, HasSubstr("capsulctl ssh web -- COMMAND < FILE"));
}

TEST(Capsulctl, GivesTheUnitsNameOrTextOrJson) {
    MadeUpDaemon daemon;
    daemon.router.add<VmUnit>([](const VmUnit&) {
        UnitView view;
        view.unit = "capsul-vm-web.service";
        view.text = "[Unit]\n";
        return view;
    });
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "unit", "web", "-q"}).out, "capsul-vm-web.service\n");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "unit", "web", "-o", "csv"}).out, "[Unit]\n");
    const std::string line = run_capsulctl(daemon, {"vm", "unit", "web", "-o", "jsonl"}).out;
    EXPECT_EQ(line.find('\n'), line.size() - 1);
}

TEST(Capsulctl, RefusesAKeyFileWithoutKeyBesideAGoodOne) {
    MadeUpDaemon daemon;
    daemon.add_done<VmCreate>(made_up_vm("web", VmState::running));
    daemon.serve();
    const std::string good = daemon.folder() / "good.pub";
    const std::string empty = daemon.folder() / "empty.pub";
    std::ofstream(good)
        << "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a\n";
    std::ofstream(empty) << "# none\n";
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "create", "web", "-i", "x", "--ssh-key", good}).code, 0);
    const Outcome outcome =
        run_capsulctl(daemon, {"vm", "create", "web", "-i", "x", "--ssh-key", good, "--ssh-key", empty});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("empty.pub: holds no key"));
    EXPECT_EQ(daemon.calls, 1);
}

TEST(Capsulctl, LetsInEachOfTheCallersOwnKeys) {
    MadeUpDaemon daemon;
    std::atomic<std::size_t> keys = 0;
    daemon.router.add<VmCreate>([&](const VmCreate& call) -> Operation {
        keys = call.ssh_keys.size();
        throw Error(ErrorCode::in_use, "enough");
    });
    daemon.serve();
    std::filesystem::create_directory(daemon.folder() / ".ssh");
    for (const char* kind : {"ed25519", "ed25519_sk", "ecdsa", "ecdsa_sk", "rsa"}) {
        std::ofstream(daemon.folder() / (std::string(".ssh/id_") + kind + ".pub"))
            << "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a\n";
    }
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "create", "web", "-i", "x"}).code, 4);
    EXPECT_EQ(keys, 5U);
}

TEST(Capsulctl, RefusesAnEventIdThatIsNone) {
    MadeUpDaemon daemon;
    daemon.serve();
    for (const char* id : {"99999999999999999999999", "-1", "1x"}) {
        const Outcome outcome = run_capsulctl(daemon, {"events", "--since", id});
        EXPECT_EQ(outcome.code, 2) << id;
        EXPECT_THAT(outcome.err, HasSubstr("is not the id of an event"));
    }
}

/// What TAB offers; asked again where it gave up, which it does when the machine is busy for a tenth of a
/// second.
std::string completed(const MadeUpDaemon& daemon, Words words) {
    words.insert(words.begin(), {"__complete", "--"});
    std::string offered;
    for (int i = 0; i < 100 && offered.empty(); ++i) {
        offered = run_capsulctl(daemon, words).out;
    }
    return offered;
}

TEST(Capsulctl, CompletesNamesOfTheDaemonOnTheLine) {
    MadeUpDaemon daemon;
    MadeUpDaemon other;
    daemon.router.add<VmList>([](const VmList&) { return std::vector{made_up_vm("web", VmState::running)}; });
    other.router.add<VmList>(
        [](const VmList&) { return std::vector{made_up_vm("other", VmState::running)}; });
    daemon.serve();
    other.serve();
    const std::string socket = other.socket();
    EXPECT_EQ(completed(daemon, {"stop", ""}), "web\n");
    EXPECT_EQ(completed(daemon, {"--socket", socket, "stop", ""}), "other\n");
    EXPECT_EQ(completed(daemon, {"--socket=" + socket, "stop", ""}), "other\n");
    EXPECT_EQ(completed(daemon, {"--socket", "=", socket, "stop", ""}), "other\n");
}

TEST(Capsulctl, ChecksTheHostUnderTheDaemonsNames) {
    const MadeUpDaemon daemon; // serves nobody
    const Outcome outcome = run_capsulctl(daemon, {"doctor", "-q"});
    EXPECT_EQ(outcome.code, 8);
    EXPECT_EQ(outcome.out, "daemon\nruntime-dir\nsystemd\nsocket\nlinger\nqemu\nqemu-img\nkvm\ntun\n");
}

} // namespace
} // namespace capsul::test
