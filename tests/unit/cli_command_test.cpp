#include "cli/command.hpp"

#include "cli/commands.hpp"
#include "cli/complete.hpp"
#include "cli/help.hpp"
#include "cli/targets.hpp"
#include "lib/nearest.hpp"
#include "lib/network.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace capsul::cli {
namespace {

struct Program {
    Session session;
    CLI::App app{"text", "capsulctl"};
    Program() { add_all_commands(app, session); }

    /// What a wrong line is told; nothing must be wrong with it but its words.
    Error refusal(std::vector<std::string> words) {
        std::ranges::reverse(words);
        try {
            app.parse(words);
        } catch (const CLI::ParseError& error) {
            return usage_error(app, error);
        }
        ADD_FAILURE() << "it was understood";
        return {ErrorCode::internal, ""};
    }
};

TEST(Nearest, FindsWhatIsOneSlipAway) {
    const std::vector<std::string> words{"start", "stop", "list"};
    EXPECT_EQ(nearest("strat", words), "start");
    EXPECT_EQ(nearest("sotp", words), "stop");
    EXPECT_EQ(nearest("lst", words), "list");
    EXPECT_EQ(nearest("frobnicate", words), "");
}

TEST(Usage, SuggestsTheCommandThatWasMeant) {
    const Error error = Program().refusal({"vm", "strat", "web"});
    EXPECT_STREQ(error.what(), "vm: there is no command 'strat'");
    EXPECT_EQ(error.hint(), "did you mean start?");
    EXPECT_EQ(exit_code(error.code()), 2);
}

TEST(Usage, SuggestsTheOptionThatWasMeant) {
    const Error error = Program().refusal({"vm", "create", "web", "--image", "x", "--memroy", "1G"});
    EXPECT_STREQ(error.what(), "vm create: there is no option --memroy");
    EXPECT_EQ(error.hint(), "did you mean --memory?");
    EXPECT_EQ(Program().refusal({"vm", "list", "--colums=a"}).hint(), "did you mean --columns?");
}

TEST(Usage, NamesWhatIsMissing) {
    EXPECT_STREQ(Program().refusal({"vm", "create", "web"}).what(), "vm create: --image is required");
    EXPECT_STREQ(Program().refusal({"image", "rm"}).what(), "image rm: NAME is required");
    EXPECT_STREQ(Program().refusal({"vm", "create", "web", "--image"}).what(),
                 "vm create: --image needs a value");
}

TEST(Usage, NamesAnArgumentTooMany) {
    EXPECT_STREQ(Program().refusal({"vm", "show", "web", "db"}).what(),
                 "vm show: 'db' is one argument too many");
}

TEST(ParseNumber, RefusesWhatIsNoNumberInRange) {
    EXPECT_EQ(parse_number("--cpus", "4", 1, 255), 4);
    for (const char* text : {"", "0", "256", "-1", "1x", "1.5", " 1", "99999999999"}) {
        EXPECT_THROW(static_cast<void>(parse_number("--cpus", text, 1, 255)), Error) << text;
    }
}

TEST(ParseOption, NamesTheOption) {
    try {
        static_cast<void>(parse_option<Bytes>("--memory", "1X"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_TRUE(std::string_view(error.what()).starts_with("--memory: ")) << error.what();
    }
}

TEST(ParseOption, ReadsANicAsItIsWritten) {
    const auto nic = parse_option<NicSpec>("--network", "lan,ip=10.80.0.9,ip=fd00::9,mac=02:00:00:00:00:01");
    EXPECT_EQ(nic.network.to_string(), "lan");
    EXPECT_EQ(nic.ip, IpAddress::parse("10.80.0.9"));
    EXPECT_EQ(nic.ip6, IpAddress::parse("fd00::9"));
    EXPECT_EQ(nic.mac, Mac::parse("02:00:00:00:00:01"));
    for (const char* text : {"", "Lan", "lan,", "lan,10.80.0.9", "lan,ip=", "lan,ip=10.80.0", "lan,mtu=9000",
                             "lan,ip=10.80.0.9,ip=10.80.0.10", "lan,mac=01:00:00:00:00:01"}) {
        try {
            static_cast<void>(parse_option<NicSpec>("--network", text));
            ADD_FAILURE() << text;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::invalid);
            EXPECT_TRUE(std::string_view(error.what()).starts_with("--network: ")) << error.what();
        }
    }
}

TEST(ParseNames, TakesEachNameOnce) {
    EXPECT_EQ(parse_names({"a", "b", "a"}).size(), 2U);
    EXPECT_THROW(static_cast<void>(parse_names({"a", "Not a name"})), Error);
}

TEST(Help, TeachesByExampleInEveryCommand) {
    Program program;
    const std::function<void(const CLI::App&)> check = [&](const CLI::App& command) {
        EXPECT_NE(help_text(command).find("\nExamples:\n"), std::string::npos) << command_path(command);
        for (const CLI::App* sub : command.get_subcommands([](const CLI::App*) { return true; })) {
            check(*sub);
        }
    };
    check(program.app);
}

TEST(Help, ShowsHowACommandIsUsed) {
    Program program;
    const std::string text = help_text(*program.app.get_subcommand("vm")->get_subcommand("create"));
    EXPECT_TRUE(text.starts_with("Usage: capsulctl vm create --image IMAGE NAME [options]\n")) << text;
    EXPECT_NE(text.find("-m, --memory SIZE"), std::string::npos) << text;
}

std::vector<std::string> completions(const std::vector<std::string>& words) {
    const Program program;
    std::vector<std::string> found;
    const auto names_of = [](const std::string& kind, const std::string& network) {
        return kind == "VM"                           ? std::vector<std::string>{"web", "db"}
               : kind == "DISK" || kind == "SNAPSHOT" ? std::vector<std::string>{network + "_" + kind}
               : kind == "NODE"    ? std::vector<std::string>{network + "_a", network + "_b"}
               : kind == "NETWORK" ? std::vector<std::string>{"lan", "pub"}
               : kind == "ALIAS"   ? std::vector<std::string>{"stable"}
                                   : std::vector<std::string>{"debian-12"};
    };
    for (const Candidate& candidate : candidates(program.app, words, names_of)) {
        found.push_back(candidate.word);
    }
    return found;
}

using Words = std::vector<std::string>;

TEST(Complete, OffersCommands) {
    EXPECT_EQ(completions({"im"}), Words{"image"});
    EXPECT_EQ(completions({"vm", "sto"}), Words{"stop"});
    EXPECT_GT(completions({""}).size(), 10U);
}

TEST(Complete, KnowsBothWordsForRemoving) {
    EXPECT_EQ(completions({"image", "delete", ""}), Words{"debian-12"});
    EXPECT_EQ(completions({"network", "rm", ""}), (Words{"lan", "pub"}));
    EXPECT_EQ(completions({"vm", "rm", ""}), (Words{"web", "db"}));
    EXPECT_EQ(completions({"delete", ""}), (Words{"web", "db"}));
    EXPECT_EQ(completions({"vm", "nic", "delete", ""}), (Words{"web", "db"}));
}

TEST(Complete, OffersTheCommandsThatHelpKnows) {
    EXPECT_EQ(completions({"help", "im"}), Words{"image"});
    EXPECT_EQ(completions({"help", "vm", "sto"}), Words{"stop"});
    EXPECT_EQ(completions({"help", "vm", "stop", ""}), Words{});
}

TEST(Complete, OffersNames) {
    EXPECT_EQ(completions({"vm", "stop", ""}), (Words{"web", "db"}));
    EXPECT_EQ(completions({"vm", "stop", "web", "d"}), Words{"db"});
    EXPECT_EQ(completions({"vm", "show", "web", ""}), Words{});
    EXPECT_EQ(completions({"image", "rm", ""}), Words{"debian-12"});
    EXPECT_EQ(completions({"image", "pin", "x", ""}), Words{"debian-12"});
    EXPECT_EQ(completions({"image", "tag", ""}), Words{"debian-12"});
    EXPECT_EQ(completions({"image", "tag", "x", ""}), Words{"stable"});
    EXPECT_EQ(completions({"image", "untag", "stable", ""}), Words{"stable"});
    EXPECT_EQ(completions({"vm", "create", ""}), Words{});
    EXPECT_EQ(completions({"network", "stop", "lan", ""}), (Words{"lan", "pub"}));
    EXPECT_EQ(completions({"network", "create", ""}), Words{});
    EXPECT_EQ(completions({"network", "reserve", "p"}), Words{"pub"});
    EXPECT_EQ(completions({"network", "reserve", "pub", "10.80.0.9", "--for", "w"}), Words{"web"});
}

TEST(Complete, OffersTheOtherHostsOfTheVpnThatIsNamed) {
    EXPECT_EQ(completions({"network", "peer", "rm", ""}), (Words{"lan", "pub"}));
    EXPECT_EQ(completions({"network", "peer", "rm", "lan", ""}), (Words{"lan_a", "lan_b"}));
    EXPECT_EQ(completions({"network", "peer", "delete", "--yes", "pub", "pub_a", "pub_b"}), Words{"pub_b"});
    EXPECT_EQ(completions({"network", "peer", "add", "lan", ""}), Words{files_marker});
    EXPECT_EQ(completions({"network", "join", "--file", ""}), Words{files_marker});
    EXPECT_EQ(completions({"network", "join", ""}), Words{});
}

TEST(Complete, OffersTheDisksAndSnapshotsOfTheVmThatIsNamed) {
    EXPECT_EQ(completions({"vm", "disk", "rm", ""}), (Words{"web", "db"}));
    EXPECT_EQ(completions({"vm", "disk", "rm", "db", ""}), Words{"db_DISK"});
    EXPECT_EQ(completions({"vm", "disk", "add", "db", ""}), Words{});
    EXPECT_EQ(completions({"vm", "snapshot", "restore", "web", ""}), Words{"web_SNAPSHOT"});
    EXPECT_EQ(completions({"vm", "snapshot", "rm", "--yes", "web", ""}), Words{"web_SNAPSHOT"});
    EXPECT_EQ(completions({"vm", "snapshot", "create", "web", ""}), Words{});
    EXPECT_EQ(completions({"vm", "resize", "w"}), Words{"web"});
    EXPECT_EQ(completions({"vm", "clone", "web", ""}), Words{});
}

TEST(Complete, OffersQemusOwnNetworkForNicsOnly) {
    EXPECT_EQ(completions({"vm", "create", "x", "--network", ""}), (Words{"lan", "pub", "user"}));
    EXPECT_EQ(completions({"launch", "--network=l"}), Words{"--network=lan"});
    EXPECT_EQ(completions({"vm", "nic", "add", "web", ""}), (Words{"lan", "pub", "user"}));
    EXPECT_EQ(completions({"network", "show", "u"}), Words{});
}

TEST(Complete, OffersOptionsAndTheirValues) {
    EXPECT_EQ(completions({"vm", "stop", "--for"}), Words{"--force"});
    EXPECT_EQ(completions({"vm", "create", "x", "--image", ""}), Words{"debian-12"});
    EXPECT_EQ(completions({"vm", "create", "x", "--image=deb"}), Words{"--image=debian-12"});
    EXPECT_EQ(completions({"vm", "wait", "web", "--for", "c"}), Words{"cloud-init"});
    EXPECT_EQ(completions({"vm", "list", "-o", "js"}), (Words{"json", "jsonl"}));
    EXPECT_EQ(completions({"-o", "json", "vm", "li"}), Words{"list"});
    EXPECT_EQ(completions({"network", "create", "x", "--type", ""}), (Words{"nat", "bridge", "vpn"}));
    EXPECT_EQ(completions({"network", "create", "x", "--egress", ""}), (Words{"full", "none", "dns-icmp"}));
    EXPECT_EQ(completions({"network", "set", "x", "--dhcp", ""}), (Words{"on", "off"}));
}

TEST(Complete, LeavesFilesToTheShell) {
    EXPECT_EQ(completions({"vm", "create", "x", "--user-data", "a"}), Words{files_marker});
    EXPECT_EQ(completions({"image", "import", "x", ""}), Words{files_marker});
}

TEST(Complete, SaysNothingAboutAGuestsCommand) {
    EXPECT_EQ(completions({"exec", "web", "--", "l"}), Words{});
}

TEST(Complete, UnderstandsBashSplittingAtEquals) {
    EXPECT_EQ(completions({"vm", "create", "x", "--image", "=", "deb"}), Words{"debian-12"});
    EXPECT_EQ(completions({"vm", "create", "x", "--image", "="}), Words{"debian-12"});
}

TEST(Tally, GivesTheCodeThatTellsMost) {
    Session session;
    session.options.json = true;
    const auto code_after = [&](int successes, const std::vector<ErrorCode>& failures) {
        Tally tally(session);
        for (int i = 0; i < successes; ++i) {
            tally.success();
        }
        for (const ErrorCode code : failures) {
            tally.failure("vm x", Error(code, "test"));
        }
        return tally.exit_code();
    };
    EXPECT_EQ(code_after(2, {}), 0);
    EXPECT_EQ(code_after(0, {ErrorCode::not_found, ErrorCode::not_found}), 3);
    EXPECT_EQ(code_after(0, {ErrorCode::exists, ErrorCode::wrong_state}), 4);
    EXPECT_EQ(code_after(0, {ErrorCode::not_found, ErrorCode::timeout}), 9);
    EXPECT_EQ(code_after(1, {ErrorCode::not_found}), 9);
}

TEST(Tally, GivesUpWithoutDaemon) {
    Session session;
    Tally tally(session);
    EXPECT_THROW(tally.failure("vm x", NoDaemon("gone", "")), NoDaemon);
    EXPECT_NO_THROW(tally.failure("image x", Error(ErrorCode::unreachable, "its source is silent")));
    EXPECT_EQ(tally.exit_code(), 6);
}

TEST(Named, PutsTheSubjectBeforeAMessageOnce) {
    EXPECT_STREQ(named("vm web", Error(ErrorCode::busy, "no")).what(), "vm web: no");
    EXPECT_STREQ(named("vm web", Error(ErrorCode::busy, "vm web: no")).what(), "vm web: no");
}

} // namespace
} // namespace capsul::cli
