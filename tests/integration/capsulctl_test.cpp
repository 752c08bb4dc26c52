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

Image made_up_image(const std::string& name) {
    Image image;
    image.name = Name::parse(name);
    image.digest = Digest::parse("sha256:" + std::string(64, 'a'));
    return image;
}

TEST(Capsulctl, SaysThatOfAnAliasOnlyTheNameIsRemoved) {
    MadeUpDaemon daemon;
    Image alias;
    alias.name = Name::parse("debian-12");
    alias.alias_of = Name::parse("debian-12-20261122");
    daemon.add_done<ImageRemove>(alias);
    daemon.add_done<ImageUntag>(alias);
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"image", "rm", "debian-12"}).err,
              "image debian-12: the alias is removed, its image debian-12-20261122 stays\n");
    EXPECT_EQ(run_capsulctl(daemon, {"image", "untag", "debian-12"}).err,
              "image debian-12: is no alias any more\n");
}

TEST(Capsulctl, SaysWhatAnAliasIsNowAndWasBefore) {
    MadeUpDaemon daemon;
    Image old = made_up_image("debian-12-1");
    old.aliases = {Name::parse("debian-12")};
    daemon.router.add<ImageList>([old](const ImageList&) { return std::vector{old}; });
    daemon.add_work<ImageTag>([](const ImageTag& call) {
        if (call.image == Name::parse("nothing")) {
            throw Error(ErrorCode::not_found, "image nothing: does not exist");
        }
        return made_up_image(call.image.to_string());
    });
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"image", "tag", "debian-12-2", "debian-12"}).err,
              "image debian-12: is debian-12-2 now, and was debian-12-1\n");
    EXPECT_EQ(run_capsulctl(daemon, {"image", "tag", "debian-12-2", "stable"}).err,
              "image stable: is debian-12-2 now\n");
    EXPECT_EQ(run_capsulctl(daemon, {"image", "tag", "debian-12-1", "debian-12"}).err,
              "image debian-12: is debian-12-1 already\n");
    const Outcome wrong = run_capsulctl(daemon, {"image", "tag", "nothing", "debian-12"});
    EXPECT_EQ(wrong.code, 3);
    EXPECT_EQ(wrong.err, "capsulctl: image nothing: does not exist\n");
    EXPECT_EQ(run_capsulctl(daemon, {"image", "tag", "debian-12-1", "Not a name"}).code, 2);
}

TEST(Capsulctl, SaysWhichImageAnAliasHasPinned) {
    MadeUpDaemon daemon;
    daemon.add_work<ImagePin>([](const ImagePin& call) {
        return made_up_image(call.name == Name::parse("stable") ? "debian-12-1" : call.name.to_string());
    });
    daemon.add_failed<ImageUnpin>({ErrorCode::not_found, "image lab: does not exist"});
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"image", "pin", "lab", "stable"}).err,
              "image lab: pinned\nimage stable: debian-12-1 is pinned\n");
    EXPECT_EQ(run_capsulctl(daemon, {"image", "unpin", "lab"}).code, 3);
}

/// A daemon whose prune would remove one image, and remembers what it was asked.
class PruningDaemon : public MadeUpDaemon {
  public:
    PruningDaemon() {
        add_work<ImagePrune>([this](const ImagePrune& call) {
            const std::lock_guard lock(mutex_);
            asked_.push_back(call);
            return Pruned{{made_up_image("lab")}, std::uint64_t{3} << 20U, call.dry_run};
        });
        serve();
    }
    ~PruningDaemon() { stop(); }
    PruningDaemon(const PruningDaemon&) = delete;
    PruningDaemon& operator=(const PruningDaemon&) = delete;

    std::vector<ImagePrune> asked() {
        const std::lock_guard lock(mutex_);
        return asked_;
    }

  private:
    std::mutex mutex_;
    std::vector<ImagePrune> asked_;
};

TEST(Capsulctl, PrunesNothingUnaskedWithoutATerminal) {
    PruningDaemon daemon;
    const Outcome outcome = run_capsulctl(daemon, {"image", "prune"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("--yes"));
    EXPECT_EQ(run_capsulctl(daemon, {"image", "prune", "--yes", "--older-than", "30"}).code, 2);
    EXPECT_TRUE(daemon.asked().empty());
}

TEST(Capsulctl, TellsWhatAPruneRemovesAndFrees) {
    PruningDaemon daemon;
    const Outcome dry = run_capsulctl(daemon, {"image", "prune", "--dry-run", "--columns", "name"});
    EXPECT_EQ(dry.out, "NAME\nlab\n");
    EXPECT_EQ(dry.err, "1 image would be removed, 3.0 MiB would be freed\n");
    const Outcome real = run_capsulctl(daemon, {"image", "prune", "--yes", "--older-than", "90d", "-q"});
    EXPECT_EQ(real.out, "lab\n");
    EXPECT_EQ(real.err, "");
    const Outcome json = run_capsulctl(daemon, {"image", "prune", "--yes", "--json"});
    EXPECT_EQ(Json::parse(json.out).at("freed"), 3U << 20U);
    EXPECT_EQ(json.err, "1 image removed, 3.0 MiB freed\n");
    const auto asked = daemon.asked();
    ASSERT_EQ(asked.size(), 3U);
    EXPECT_TRUE(asked[0].dry_run);
    EXPECT_FALSE(asked[1].dry_run);
    EXPECT_EQ(asked[1].older_than, Age::parse("90d"));
}

TEST(Capsulctl, PrunesOnATerminalWhatItHasAskedAboutAndNoMore) {
    PruningDaemon daemon;
    Capsulctl no(daemon, {"image", "prune"}, Capsulctl::On::terminal);
    EXPECT_TRUE(no.shows("Remove lab for good, which frees 3.0 MiB? [y/N]")) << no.out;
    no.type("n\n");
    EXPECT_EQ(no.wait(), 2);
    EXPECT_EQ(daemon.asked().size(), 1U);
    Capsulctl yes(daemon, {"image", "prune"}, Capsulctl::On::terminal);
    EXPECT_TRUE(yes.shows("[y/N]")) << yes.out;
    yes.type("y\n");
    EXPECT_EQ(yes.wait(), 0);
    ASSERT_EQ(daemon.asked().size(), 3U);
    EXPECT_FALSE(daemon.asked()[2].dry_run);
    EXPECT_EQ(daemon.asked()[2].only, std::vector{Name::parse("lab")});
}

TEST(Capsulctl, ShowsWhatImagesTake) {
    MadeUpDaemon daemon;
    DiskUsage usage;
    usage.unused = {2, std::uint64_t{5} << 20U};
    daemon.router.add<DiskUsageShow>([usage](const DiskUsageShow&) { return usage; });
    daemon.serve();
    EXPECT_THAT(run_capsulctl(daemon, {"image", "df"}).out, HasSubstr("unused         2  5.0 MiB"));
    EXPECT_EQ(Json::parse(run_capsulctl(daemon, {"image", "df", "--json"}).out).at("unused").at("size"),
              5U << 20U);
}

Vm vm_made_from(const std::string& name, const std::string& image) {
    Vm vm = made_up_vm(name, VmState::stopped);
    VmRecord& record = vm.spec.emplace();
    record.name = vm.name;
    record.uuid = Uuid::make();
    record.created = Timestamp::now();
    record.image = Name::parse(image);
    record.image_digest = Digest::parse("sha256:" + std::string(64, 'a'));
    record.memory = record.disk = Bytes::parse("1G");
    return vm;
}

TEST(Capsulctl, FindsTheVmsOfAnImageUnderEachOfItsNames) {
    MadeUpDaemon daemon;
    Image image = made_up_image("debian-12-1");
    image.aliases = {Name::parse("oldstable")};
    image.vms = {Name::parse("web")};
    daemon.router.add<ImageList>([image](const ImageList&) { return std::vector{image}; });
    daemon.router.add<VmList>([](const VmList&) { // `debian-12` was an alias when it was made
        return std::vector{vm_made_from("web", "debian-12"), vm_made_from("other", "lab")};
    });
    daemon.serve();
    for (const char* name : {"debian-12-1", "oldstable", "debian-12", "debian-*"}) {
        EXPECT_EQ(run_capsulctl(daemon, {"ls", "-q", "--filter", std::string("image=") + name}).out, "web\n")
            << name;
    }
    EXPECT_EQ(run_capsulctl(daemon, {"ls", "-q", "--filter", "image=nothing"}).out, "");
}

TEST(Capsulctl, ImportsNothingUnderTheNameOfAnAlias) {
    MadeUpDaemon daemon;
    Image image = made_up_image("debian-12-1");
    image.aliases = {Name::parse("debian-12")};
    daemon.router.add<ImageList>([image](const ImageList&) { return std::vector{image}; });
    daemon.serve();
    std::ofstream(daemon.folder() / "disk") << "x";
    const std::string disk = daemon.folder() / "disk";
    EXPECT_EQ(run_capsulctl(daemon, {"image", "import", "debian-12", disk}).code, 4);
    const Outcome there =
        run_capsulctl(daemon, {"image", "import", "debian-12", disk, "--if-not-exists", "-q"});
    EXPECT_EQ(there.out, "debian-12-1\n");
    EXPECT_EQ(there.code, 0);
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

TEST(Capsulctl, CompletesAliasesWhereImagesAreNamed) {
    MadeUpDaemon daemon;
    Image image = made_up_image("debian-12-1");
    image.aliases = {Name::parse("debian-12")};
    Image lost;
    lost.name = Name::parse("lost");
    lost.alias_of = Name::parse("gone");
    daemon.router.add<ImageList>([=](const ImageList&) { return std::vector{image, lost}; });
    daemon.serve();
    EXPECT_EQ(completed(daemon, {"launch", "--image", ""}), "debian-12-1\ndebian-12\nlost\n");
    EXPECT_EQ(completed(daemon, {"image", "untag", ""}), "debian-12\nlost\n");
}

TEST(Capsulctl, ChecksTheHostUnderTheDaemonsNames) {
    const MadeUpDaemon daemon; // serves nobody
    const Outcome outcome = run_capsulctl(daemon, {"doctor", "-q"});
    EXPECT_EQ(outcome.code, 8);
    EXPECT_EQ(outcome.out, "daemon\nruntime-dir\nsystemd\nsocket\nlinger\nqemu\nqemu-img\nkvm\ntun\n");
}

} // namespace
} // namespace capsul::test
