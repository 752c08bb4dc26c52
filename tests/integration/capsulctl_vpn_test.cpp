// What capsulctl does for VPNs: what it prints of peers, what it takes from files, and the three ways to
// join, with a script in the place of ssh.
#include "tests/integration/capsulctl_fixture.hpp"

#include "lib/join_code.hpp"
#include "lib/tls.hpp"
#include "lib/vpn_calls.hpp"
#include "tests/integration/own_ports.hpp"
#include "tests/vpn_records.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace capsul::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using Words = std::vector<std::string>;
namespace fs = std::filesystem;

/// What the daemon was asked, as JSON, in order.
class AskedInOrder {
  public:
    template <class C>
    void note(const char* call, const C& value) {
        const std::lock_guard lock(mutex_);
        names_ += (names_.empty() ? "" : " ") + std::string(call);
        last_[call] = encode(value);
    }
    std::string names() {
        const std::lock_guard lock(mutex_);
        return names_;
    }
    Json last(const char* call) {
        const std::lock_guard lock(mutex_);
        return last_.at(call);
    }

  private:
    std::mutex mutex_;
    std::string names_;
    std::map<std::string, Json> last_;
};

std::string content(const fs::path& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
}

/// A daemon of host_b, which is not in a VPN yet, and the ssh of its user.
class JoiningHost : public MadeUpDaemon {
  public:
    JoiningHost() {
        router.add<NetworkList>([this](const NetworkList&) { return networks; });
        add_work<NetworkJoin>([this](const NetworkJoin& call) {
            asked.note("join", call);
            return vpn_shown({"host_b", "host_a"});
        });
        add_work<NetworkExport>([this](const NetworkExport& call) {
            asked.note("export", call);
            return bundle_of({"host_b", "host_a"});
        });
        add_work<NetworkDelete>([this](const NetworkDelete& call) {
            asked.note("delete", call);
            if (undeletable) {
                throw Error(ErrorCode::in_use, "network mesh: VMs have a NIC on it: web");
            }
            return vpn_shown({"host_b"});
        });
        std::ofstream(folder() / "offer") << text_of(bundle_of({"host_a"}));
        ssh("case \"$command\" in *export*) cat \"$HOME/offer\" ;; *) cat >\"$HOME/told\" ;; esac");
    }

    JoiningHost(const JoiningHost&) = delete;
    JoiningHost& operator=(const JoiningHost&) = delete;
    ~JoiningHost() { stop(); }

    /// What ssh does; it notes its arguments, a line each.
    void ssh(const std::string& script) const {
        fs::create_directories(programs());
        const fs::path file = programs() / "ssh";
        std::ofstream(file) << "#!/bin/sh\nprintf '%s\\n' \"$@\" >>\"$HOME/arguments\"\n"
                            << "for command; do :; done\n"
                            << script << '\n';
        fs::permissions(file, fs::perms::owner_all);
    }
    [[nodiscard]] std::string arguments() const { return content(folder() / "arguments"); }
    [[nodiscard]] std::string told() const { return content(folder() / "told"); }

    AskedInOrder asked;
    std::vector<Network> networks;
    bool undeletable = false;
};

const Words join_by_ssh{"network", "join", "mesh", "--from", "ssh://alice@host-a:2222", "--node", "host_b"};

TEST(NetworkJoin, DoesAllOfItByOneCommandOverSsh) {
    JoiningHost host;
    host.serve();
    Words words = join_by_ssh;
    words.insert(words.end(), {"--address", "192.0.2.2"});
    const Outcome outcome = run_capsulctl(host, words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "network mesh: asking ssh://alice@host-a:2222 to let in host_b\n"
                           "network mesh: joined and running\n");
    EXPECT_THAT(outcome.out, HasSubstr("mesh"));
    EXPECT_EQ(host.asked.names(), "join export");
    EXPECT_EQ(host.asked.last("join").at("name"), "mesh");
    EXPECT_EQ(host.asked.last("join").at("bundle").at("nodes").size(), 1U);
    EXPECT_EQ(host.asked.last("join").at("vpn"), Json::parse(R"({"node": "host_b",
        "addresses": ["192.0.2.2"], "port": null, "mtu": null, "slice": null})"));
    EXPECT_TRUE(host.asked.last("export").at("node").is_null());
    EXPECT_EQ(VpnBundle::from_text(host.told()).nodes.front().node.name.to_string(), "host_b");
    EXPECT_THAT(host.arguments(), HasSubstr("\nBatchMode=yes\n-p\n2222\n-l\nalice\n--\nhost-a\n"
                                            "capsulctl network export mesh --for host_b --quiet\n"));
    EXPECT_THAT(host.arguments(), HasSubstr("\ncapsulctl network peer add mesh - --quiet\n"));
}

TEST(NetworkJoin, MayCallItDifferentlyHere) {
    JoiningHost host;
    host.serve();
    Words words = join_by_ssh;
    words.insert(words.end(), {"--as", "office", "--no-start", "--no-autostart", "--json"});
    const Outcome outcome = run_capsulctl(host, words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(Json::parse(outcome.out).at("spec").at("type"), "vpn");
    EXPECT_EQ(host.asked.last("join").at("name"), "office");
    EXPECT_EQ(host.asked.last("join").at("start"), false);
    EXPECT_EQ(host.asked.last("join").at("autostart"), false);
    EXPECT_EQ(host.asked.last("export").at("name"), "office");
    EXPECT_THAT(host.arguments(), HasSubstr("capsulctl network export mesh --for host_b --json\n"));
    EXPECT_THAT(outcome.err, HasSubstr("none calls it"));
}

TEST(NetworkJoin, AsksWithoutBatchModeOnATerminal) {
    JoiningHost host;
    host.serve();
    Capsulctl run(host, join_by_ssh, Capsulctl::On::terminal);
    EXPECT_EQ(run.wait(), 0) << run.out;
    EXPECT_THAT(host.arguments(), Not(HasSubstr("BatchMode")));
}

TEST(NetworkJoin, TakesTheNameOfTheHostForItself) {
    JoiningHost host;
    host.serve();
    run_capsulctl(host, {"network", "join", "mesh", "--from", "ssh://host-a"});
    std::array<char, 256> name{};
    ::gethostname(name.data(), name.size() - 1);
    EXPECT_EQ(host.asked.last("join").at("vpn").at("node"), NodeName::of_host(name.data()).to_string());
    EXPECT_THAT(host.arguments(), HasSubstr("--for " + NodeName::of_host(name.data()).to_string() + " "));
}

TEST(NetworkJoin, DeletesWhatItMadeWhenTheOtherHostCannotBeTold) {
    JoiningHost host;
    host.serve();
    host.ssh("case \"$command\" in *export*) cat \"$HOME/offer\" ;; *) echo 'no room' >&2; exit 4 ;; esac");
    const Outcome outcome = run_capsulctl(host, join_by_ssh);
    EXPECT_EQ(outcome.code, 4);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(host.asked.names(), "join export delete");
    EXPECT_THAT(outcome.err, HasSubstr("no room\n"));
    EXPECT_THAT(outcome.err,
                HasSubstr("capsulctl: network mesh: ssh://alice@host-a:2222: `capsulctl network peer` "
                          "has failed there, with exit code 4; what was made here is deleted again\n"));
}

TEST(NetworkJoin, TellsWhenNotEvenThatCouldBeDeleted) {
    JoiningHost host;
    host.undeletable = true;
    host.serve();
    host.ssh("case \"$command\" in *export*) cat \"$HOME/offer\" ;; *) exit 255 ;; esac");
    const Outcome outcome = run_capsulctl(host, join_by_ssh);
    EXPECT_EQ(outcome.code, 6);
    EXPECT_THAT(outcome.err,
                HasSubstr("ssh has failed; what was made here is still there: network mesh: VMs"));
    EXPECT_THAT(outcome.err, HasSubstr("hint: capsulctl network delete mesh\n"));
}

TEST(NetworkJoin, UndoesItWhenInterruptedWhileTheOtherHostIsTold) {
    JoiningHost host;
    host.serve();
    host.ssh(
        "case \"$command\" in *export*) cat \"$HOME/offer\" ;; *) echo telling >&2; kill -INT $$ ;; esac");
    const Outcome outcome = run_capsulctl(host, join_by_ssh);
    EXPECT_EQ(outcome.code, 125);
    EXPECT_EQ(host.asked.names(), "join export delete");
    EXPECT_THAT(outcome.err, HasSubstr("interrupted; what was made here is deleted again\nhint: where "));
}

/// OpenSSH catches what Ctrl-C sends, and ends with 255 or 0.
TEST(NetworkJoin, TellsCtrlCFromAFailureOfSsh) {
    for (const char* status : {"255", "0"}) {
        JoiningHost host;
        host.serve();
        const std::string waits =
            std::string("trap 'exit ") + status + "' INT; echo ssh waits >&2; while :; do sleep 0.1; done";
        host.ssh("case \"$command\" in *export*) cat \"$HOME/offer\" ;; *) " + waits + " ;; esac");
        Capsulctl telling(host, join_by_ssh, Capsulctl::On::terminal);
        ASSERT_TRUE(telling.shows("ssh waits")) << telling.out;
        telling.type("\x03");
        EXPECT_EQ(telling.wait(), 125);
        EXPECT_EQ(host.asked.names(), "join export delete");
        EXPECT_THAT(telling.out, HasSubstr("interrupted; what was made here is deleted again"));

        host.ssh(waits);
        Capsulctl asking(host, join_by_ssh, Capsulctl::On::terminal);
        ASSERT_TRUE(asking.shows("ssh waits")) << asking.out;
        asking.type("\x03");
        EXPECT_EQ(asking.wait(), 125);
        EXPECT_THAT(asking.out, HasSubstr("ssh://alice@host-a:2222: interrupted"));
        EXPECT_EQ(host.asked.names(), "join export delete"); // nothing more
    }
}

TEST(NetworkJoin, MakesNothingWhenTheOtherHostRefuses) {
    JoiningHost host;
    host.serve();
    struct Case {
        const char* ssh;
        int code;
        const char* words;
    };
    for (const Case& one :
         {Case{"echo 'capsulctl: network mesh: does not exist' >&2; exit 3", 3, "exit code 3"},
          Case{"exit 7", 7, "exit code 7"}, Case{"exit 125", 125, "exit code 125"},
          Case{"echo 'ssh: connect to host: refused' >&2; exit 255", 6, "ssh has failed"},
          Case{"exit 127", 8, "no capsulctl"}, Case{"true", 2, "is empty"},
          Case{"echo hello", 2, "is not what a host of a VPN exports"},
          Case{"head -c 500 \"$HOME/offer\"", 2, "is cut off"},
          Case{"sed s/192.0.2.1/192.0.2.9/ \"$HOME/offer\"", 10, "host_a"},
          Case{"yes", 2, "printed more than"}}) {
        host.ssh(one.ssh);
        const Outcome outcome = run_capsulctl(host, join_by_ssh);
        EXPECT_EQ(outcome.code, one.code) << one.ssh << '\n' << outcome.err;
        EXPECT_THAT(outcome.err, HasSubstr(one.words));
        EXPECT_THAT(outcome.err, HasSubstr("ssh://alice@host-a:2222"));
    }
    EXPECT_EQ(host.asked.names(), "");
}

TEST(NetworkJoin, AsksNobodyWhenThereIsSuchANetworkAlready) {
    JoiningHost host;
    host.networks = {vpn_shown({"host_b"})};
    host.serve();
    const Outcome outcome = run_capsulctl(host, join_by_ssh);
    EXPECT_EQ(outcome.code, 4);
    EXPECT_THAT(outcome.err, HasSubstr("capsulctl: network mesh: exists already\nhint: --as "));
    EXPECT_EQ(host.arguments(), "");
    const MadeUpDaemon nobody; // serves nobody
    EXPECT_EQ(run_capsulctl(nobody, join_by_ssh).code, 6);
}

TEST(NetworkJoin, RefusesWhatIsWrongBeforeAnythingIsDone) {
    JoiningHost host;
    host.serve();
    for (const Words& options : std::vector<Words>{{},
                                                   {"mesh", "--from", "ssh://-oProxyCommand=touch"},
                                                   {"mesh", "--from", "ssh://-oProxyCommand=x@host"},
                                                   {"mesh", "--from", "ssh://a@$(id)"},
                                                   {"mesh", "--from", "host-a"},
                                                   {"mesh", "--from", ""},
                                                   {"--from", "ssh://host-a"},
                                                   {"mesh;id", "--from", "ssh://host-a"},
                                                   {"mesh", "--from", "ssh://host-a", "--as", "Mesh"},
                                                   {"mesh", "--from", "ssh://host-a", "--node", "-x"},
                                                   {"mesh", "--from", "ssh://host-a", "--port", "70000"},
                                                   {"mesh", "--from", "ssh://host-a", "--address", "a:b:c"},
                                                   {"mesh", "--from", "ssh://host-a", "--file", "x"},
                                                   {"mesh", "--file", "x"},
                                                   {"--file", "/nowhere"},
                                                   {"--file", "/dev/null"},
                                                   {"--file", "/"}}) {
        Words words{"network", "join"};
        words.insert(words.end(), options.begin(), options.end());
        EXPECT_EQ(run_capsulctl(host, words).code, 2) << testing::PrintToString(options);
    }
    EXPECT_EQ(host.arguments(), "");
    EXPECT_EQ(host.asked.names(), "");
}

TEST(NetworkJoin, TakesAFileAndSaysWhatRemains) {
    JoiningHost host;
    host.serve();
    const Outcome outcome =
        run_capsulctl(host, {"network", "join", "--file", (host.folder() / "offer").string()});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(host.asked.names(), "join");
    EXPECT_TRUE(host.asked.last("join").at("vpn").at("node").is_null());
    EXPECT_THAT(outcome.err,
                HasSubstr("network mesh: host_a must be told: give what `capsulctl network export "
                          "mesh` prints to `capsulctl network peer add mesh -` there\n"));
    EXPECT_EQ(host.arguments(), "");
}

TEST(NetworkJoin, TakesStandardInputForAFile) {
    JoiningHost host;
    host.serve();
    Capsulctl run(host, {"network", "join", "--file", "-", "--as", "office"});
    run.type(content(host.folder() / "offer"));
    run.end_of_input();
    EXPECT_EQ(run.wait(), 0) << run.err;
    EXPECT_EQ(host.asked.last("join").at("name"), "office");
}

TEST(NetworkJoin, RefusesFilesThatAreNoBundle) {
    JoiningHost host;
    host.serve();
    const fs::path file = host.folder() / "file";
    const auto outcome_of = [&](const std::string& text) {
        std::ofstream(file) << text;
        return run_capsulctl(host, {"network", "join", "--file", file.string()});
    };
    EXPECT_THAT(outcome_of("Address = 192.0.2.1\n-----BEGIN RSA PUBLIC KEY-----\n").err,
                HasSubstr("capsulctl: --file: " + file.string() + ": is a host file of tinc"));
    const Outcome big = outcome_of(std::string(most_bundle_bytes + 1, ' '));
    EXPECT_EQ(big.code, 2);
    EXPECT_THAT(big.err, HasSubstr("is longer than " + std::to_string(most_bundle_bytes >> 10U) + " KiB"));
    EXPECT_EQ(host.asked.names(), "");
}

/// host_a, for as long as its invitation is open: it lets one host in, or answers that one with `refusal` in
/// the end.
class Inviter {
  public:
    explicit Inviter(const std::optional<Error>& refusal = {}) : refusal_(refusal) {
        const auto address = VpnAddress::parse("127.0.0.1:" + std::to_string(own_port(3)));
        code_ = {bundle_.network,
                 {address},
                 JoinSecret::generate(),
                 bundle_.nodes.front().node.identity,
                 Timestamp::now()};
        listener_ = listen_tcp(SocketAddress(address.host(), address.port()));
        thread_ = std::thread([this] {
            try {
                serve();
            } catch (const Error& error) {
                problem_ = error.what();
            }
        });
    }
    ~Inviter() { thread_.join(); }
    Inviter(const Inviter&) = delete;
    Inviter& operator=(const Inviter&) = delete;

    [[nodiscard]] std::string code() const { return code_.to_string(); }
    /// What the other host handed over, or what went wrong. Waits for it.
    std::string told() {
        thread_.join();
        thread_ = std::thread([] {});
        return problem_.empty() ? told_ : problem_;
    }

  private:
    void serve() {
        const Deadline deadline = within(std::chrono::seconds(30));
        wait_for(listener_.get(), POLLIN, deadline);
        const UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        const TlsContext context = TlsContext::of_secret(code_.secret.bytes());
        TlsChannel channel(context, socket.get(), TlsChannel::Role::server, deadline);
        hello_ = parse<JoinHello>(channel.receive(4096, deadline)).hello.to_string();
        channel.send(dump_json(encode(JoinAnswer{bundle_, {}})), deadline);
        told_ = hello_ + ": " + channel.receive(most_bundle_bytes, deadline);
        const auto problem = refusal_ ? std::optional(Problem::from(*refusal_)) : std::nullopt;
        channel.send(dump_json(encode(JoinAnswer{{}, problem})), deadline);
    }

    const VpnBundle bundle_ = bundle_of({"host_a"});
    const std::optional<Error> refusal_;
    JoinCode code_;
    UniqueFd listener_;
    std::string hello_;
    std::string told_;
    std::string problem_;
    std::thread thread_;
};

TEST(NetworkJoin, TakesACode) {
    JoiningHost host;
    host.serve();
    Inviter inviter;
    const Outcome outcome = run_capsulctl(
        host, {"network", "join", inviter.code(), "--node", "host_b", "--address", "192.0.2.2"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("network mesh: joined and running\n"));
    EXPECT_EQ(host.asked.names(), "join export");
    EXPECT_THAT(inviter.told(), testing::StartsWith("host_b: {\"format\":1,\"network\":\"mesh\""));
    EXPECT_EQ(host.arguments(), "");
}

TEST(NetworkJoin, ReadsACodeThatOthersAreNotToSee) {
    JoiningHost host;
    host.serve();
    Inviter inviter;
    Capsulctl run(host, {"network", "join", "-", "--as", "office", "--node", "host_b"});
    run.type(inviter.code() + "\n");
    run.end_of_input();
    EXPECT_EQ(run.wait(), 0) << run.err;
    EXPECT_EQ(host.asked.last("join").at("name"), "office");
}

TEST(NetworkJoin, AsksForTheCodeOnATerminal) {
    JoiningHost host;
    host.serve();
    Inviter inviter;
    Capsulctl run(host, {"network", "join", "-", "--node", "host_b"}, Capsulctl::On::terminal);
    ASSERT_TRUE(run.shows("The code: ")) << run.out;
    run.type(inviter.code() + "\n");
    EXPECT_EQ(run.wait(), 0) << run.out;
    EXPECT_THAT(inviter.told(), testing::StartsWith("host_b: "));
}

TEST(NetworkJoin, DeletesWhatItMadeWhenTheInviterDoesNotTakeItIn) {
    JoiningHost host;
    host.serve();
    Inviter inviter(Error(ErrorCode::exists, "network mesh: has a host host_b already"));
    const Outcome outcome = run_capsulctl(host, {"network", "join", inviter.code(), "--node", "host_b"});
    EXPECT_EQ(outcome.code, 4);
    EXPECT_THAT(outcome.err,
                HasSubstr("capsulctl: network mesh: has a host host_b already; what was made here is "
                          "deleted again\n"));
    EXPECT_EQ(host.asked.names(), "join export delete");
}

TEST(NetworkJoin, MakesNothingOfACodeThatIsNoLongerGood) {
    JoiningHost host;
    host.serve();
    JoinCode code{Name::parse("mesh"),
                  {VpnAddress::parse("127.0.0.1:" + std::to_string(own_port(4)))},
                  JoinSecret::generate(),
                  PrivateIdentity::generate().identity(),
                  Timestamp::now()};
    const Outcome outcome = run_capsulctl(host, {"network", "join", code.to_string()});
    EXPECT_EQ(outcome.code, 6);
    EXPECT_THAT(outcome.err, HasSubstr("does not answer"));
    std::string altered = code.to_string();
    altered[altered.size() / 2] = altered[altered.size() / 2] == 'A' ? 'B' : 'A';
    for (const std::string& text : {altered, std::string("capsul-join-"), std::string("mesh")}) {
        const Outcome refused = run_capsulctl(host, {"network", "join", text});
        EXPECT_EQ(refused.code, 2) << text << refused.err;
    }
    EXPECT_EQ(host.asked.names(), "");
}

TEST(NetworkExport, PrintsWhatCanBeReadAgain) {
    AskedInOrder asked;
    MadeUpDaemon daemon;
    daemon.add_work<NetworkExport>([&](const NetworkExport& call) {
        asked.note("export", call);
        return bundle_of({"host_a"});
    });
    daemon.serve();
    const Outcome printed = run_capsulctl(daemon, {"network", "export", "mesh", "--for", "host_b"});
    EXPECT_EQ(printed.code, 0);
    EXPECT_EQ(printed.err, "");
    EXPECT_EQ(VpnBundle::from_text(printed.out).network.to_string(), "mesh");
    EXPECT_THAT(printed.out, HasSubstr("\n  \"network\": \"mesh\""));
    EXPECT_EQ(asked.last("export"), Json::parse(R"({"name": "mesh", "node": "host_b"})"));
    EXPECT_EQ(run_capsulctl(daemon, {"network", "export", "mesh", "-q"}).out.front(), '{');
    EXPECT_EQ(run_capsulctl(daemon, {"network", "export", "mesh", "--for", "host-b"}).code, 2);
    EXPECT_EQ(run_capsulctl(daemon, {"network", "export", "mesh", "/dev/null"}).code, 2);
}

TEST(NetworkExport, WritesAFile) {
    MadeUpDaemon daemon;
    daemon.add_done<NetworkExport>(bundle_of({"host_a"}));
    daemon.serve();
    const fs::path file = daemon.folder() / "host_b.json";
    const Outcome outcome = run_capsulctl(daemon, {"network", "export", "mesh", file.string()});
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "network mesh: written to " + file.string() + "; it holds no secret\n");
    EXPECT_EQ(VpnBundle::from_text(content(file)).nodes.size(), 1U);
}

TEST(NetworkPeer, IsListedInEachForm) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkShow>([](const NetworkShow&) { return vpn_shown({"host_a", "host_b"}); });
    daemon.serve();
    EXPECT_EQ(
        run_capsulctl(daemon, {"network", "peer", "list", "mesh", "--columns", "node,reachable,slice"}).out,
        "NODE    REACHABLE  SLICE\n"
        "host_b  yes        10.90.4.0/22\n");
    EXPECT_EQ(run_capsulctl(daemon, {"network", "peer", "list", "mesh", "-q"}).out, "host_b\n");
    EXPECT_EQ(
        Json::parse(run_capsulctl(daemon, {"network", "peer", "list", "mesh", "--json"}).out).at(0).at("ip"),
        "10.90.4.1");
    EXPECT_THAT(run_capsulctl(daemon, {"network", "show", "mesh"}).out, HasSubstr("\n\nNODE    REACHABLE"));
}

TEST(NetworkPeer, IsNoneOfANetworkOfThisHostOnly) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkShow>([](const NetworkShow& call) {
        Network network = vpn_shown({"host_a"});
        if (call.name.to_string() == "lan") {
            network.spec->type = NetworkType::nat;
            network.vpn.reset();
        }
        return network;
    });
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network", "peer", "list", "lan"});
    EXPECT_EQ(outcome.code, 4);
    EXPECT_EQ(outcome.err, "capsulctl: network lan: is a nat network, which is of this host only\n");
    EXPECT_THAT(run_capsulctl(daemon, {"network", "peer", "list", "mesh"}).err,
                HasSubstr("no other host is in it yet"));
}

TEST(NetworkPeer, IsTakenInFromAFile) {
    AskedInOrder asked;
    MadeUpDaemon daemon;
    daemon.add_work<NetworkPeerAdd>([&](const NetworkPeerAdd& call) {
        asked.note("add", call);
        return vpn_shown({"host_a", "host_b"});
    });
    daemon.serve();
    const fs::path file = daemon.folder() / "host_b.json";
    std::ofstream(file) << text_of(bundle_of({"host_b"}));
    const Outcome outcome = run_capsulctl(daemon, {"network", "peer", "add", "mesh", file.string()});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "network mesh: what host_b tells is taken in\n");
    EXPECT_EQ(asked.last("add").at("bundle").at("nodes").at(0).at("node").at("name"), "host_b");
    EXPECT_EQ(run_capsulctl(daemon, {"network", "peer", "add", "mesh", "/nowhere"}).code, 2);
    EXPECT_EQ(run_capsulctl(daemon, {"network", "peer", "add", "mesh", "-"}).code, 2); // it is empty
}

TEST(NetworkPeer, IsCutOffOnlyByOneWhoMeansIt) {
    AskedInOrder asked;
    MadeUpDaemon daemon;
    daemon.router.add<NetworkShow>([](const NetworkShow&) { return vpn_shown({"host_a", "host_b"}); });
    daemon.add_work<NetworkPeerRemove>([&](const NetworkPeerRemove& call) {
        asked.note(call.node.to_string().c_str(), call);
        if (call.node.to_string() == "host_x") {
            throw Error(ErrorCode::not_found, "network mesh: has no host host_x");
        }
        return vpn_shown({"host_a"});
    });
    daemon.serve();
    const Outcome unasked = run_capsulctl(daemon, {"network", "peer", "rm", "mesh", "host_b"});
    EXPECT_EQ(unasked.code, 2);
    EXPECT_THAT(unasked.err, HasSubstr("--yes"));
    Capsulctl no(daemon, {"network", "peer", "rm", "mesh", "host_b"}, Capsulctl::On::terminal);
    ASSERT_TRUE(no.shows("Cut host_b off from network mesh, on all of its hosts and for good? [y/N] "))
        << no.out;
    no.type("n\n");
    EXPECT_EQ(no.wait(), 2);
    EXPECT_EQ(asked.names(), "");
    const Outcome some =
        run_capsulctl(daemon, {"network", "peer", "rm", "mesh", "host_b", "host_x", "--yes"});
    EXPECT_EQ(some.code, 9);
    EXPECT_THAT(some.err, HasSubstr("network mesh: host_b is cut off\n"));
    EXPECT_THAT(some.err, HasSubstr("capsulctl: network mesh: has no host host_x\n"));
    EXPECT_EQ(run_capsulctl(daemon, {"network", "peer", "rm", "mesh", "../host_b", "-y"}).code, 2);
    EXPECT_EQ(asked.names(), "host_b host_x");
}

TEST(NetworkPeer, ThatHasNotJoinedYetIsNotCutOff) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkShow>([](const NetworkShow&) {
        Network network = vpn_shown({"host_a", "host_b"});
        network.spec->vpn->kept = {{NodeName::parse("host_c"), Cidr::parse("10.90.8.0/22")}};
        return network;
    });
    daemon.add_done<NetworkPeerRemove>(vpn_shown({"host_a", "host_b"}));
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"network", "peer", "rm", "mesh", "host_b", "host_c", "--yes"}).err,
              "network mesh: host_b is cut off\n"
              "network mesh: the slice kept for host_c is free again\n");
    Capsulctl one(daemon, {"network", "peer", "rm", "mesh", "host_c"}, Capsulctl::On::terminal);
    EXPECT_TRUE(one.shows("Free the slice kept for host_c? [y/N] ")) << one.out;
    Capsulctl both(daemon, {"network", "peer", "rm", "mesh", "host_b", "host_c"}, Capsulctl::On::terminal);
    EXPECT_TRUE(both.shows("Cut host_b off from network mesh, on all of its hosts and for good, and free the "
                           "slice kept for host_c? [y/N] "))
        << both.out;
}

TEST(NetworkDelete, SaysThatTheOtherHostsOfAVpnKeepThisOne) {
    MadeUpDaemon daemon;
    daemon.add_work<NetworkDelete>([](const NetworkDelete& call) {
        return vpn_shown(call.name.to_string() == "alone" ? std::vector<std::string>{"host_a"}
                                                          : std::vector<std::string>{"host_a", "host_b"});
    });
    daemon.router.add<NetworkList>([](const NetworkList&) { return std::vector<Network>(); });
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"network", "delete", "mesh", "--yes"}).err,
              "network mesh: deleted here; its other hosts keep host_a and its slice until `network peer rm` "
              "there\n");
    EXPECT_EQ(run_capsulctl(daemon, {"network", "delete", "alone", "--yes"}).err, "network alone: deleted\n");
}

TEST(NetworkPeer, IsBroughtInStepOnRequest) {
    MadeUpDaemon daemon;
    daemon.add_done<NetworkPeerSync>(vpn_shown({"host_a", "host_b"}));
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network", "peer", "sync", "mesh"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err, "network mesh: in step; 1/1 hosts are reached\n");
    EXPECT_EQ(outcome.out, "");
}

TEST(NetworkCheck, ListsWhatWasFoundAndFailsWithIt) {
    MadeUpDaemon daemon;
    const NodeName a = NodeName::parse("host_a");
    const NodeName c = NodeName::parse("host_c");
    daemon.add_done<NetworkCheck>(
        std::vector<PeerFinding>{{a, "handshake", Severity::ok, "has shown its identity, in 1.5 ms", "", 1.5},
                                 {c, "handshake", Severity::failure, "no answer", "is it on?", {}}});
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network", "check", "mesh"});
    EXPECT_EQ(outcome.code, 8);
    EXPECT_EQ(outcome.out, "ok       host_a handshake  has shown its identity, in 1.5 ms\n"
                           "failure  host_c handshake  no answer\n"
                           "                           hint: is it on?\n");
    EXPECT_EQ(outcome.err, "network mesh: 1 of 2 other hosts have failures\n");
    const Outcome json = run_capsulctl(daemon, {"network", "check", "mesh", "--json"});
    EXPECT_EQ(Json::parse(json.out)[0]["value"], 1.5);
}

TEST(NetworkCheck, SaysThatNobodyElseIsInIt) {
    MadeUpDaemon daemon;
    daemon.add_done<NetworkCheck>(std::vector<PeerFinding>{});
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network", "check", "mesh"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "network mesh: no other host is in it yet\n");
}

TEST(NetworkInvite, PrintsTheCodeAlone) {
    AskedInOrder asked;
    MadeUpDaemon daemon;
    daemon.add_work<NetworkInvite>([&](const NetworkInvite& call) {
        asked.note("invite", call);
        return InviteResult{"capsul-join-abc", Timestamp::parse("2026-11-22T07:00:00Z")};
    });
    daemon.serve();
    const Outcome outcome = run_capsulctl(
        daemon, {"network", "invite", "mesh", "--expires", "10m", "--address", "192.0.2.1:11700"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "capsul-join-abc\n");
    EXPECT_THAT(outcome.err, HasSubstr("network mesh: until 2026-11-22T07:00:00Z, one host joins"));
    EXPECT_EQ(asked.last("invite"),
              Json::parse(R"({"name": "mesh", "expires": "10m", "address": "192.0.2.1:11700"})"));
    const Outcome json = run_capsulctl(daemon, {"network", "invite", "mesh", "--json"});
    EXPECT_EQ(Json::parse(json.out).at("code"), "capsul-join-abc");
    EXPECT_EQ(json.err, "");
    EXPECT_EQ(run_capsulctl(daemon, {"network", "invite", "mesh", "--expires", "soon"}).code, 2);
}

} // namespace
} // namespace capsul::test
