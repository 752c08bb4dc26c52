// capsul-peer sync by real processes, and by hosts that are played here.
#include "lib/error.hpp"
#include "lib/json.hpp"
#include "lib/vpn_check.hpp"
#include "lib/vpn_sync.hpp"
#include "tests/integration/capsul_peer_fixture.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>

namespace capsul {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::bundle_of;
using test::comes_true;
using test::loopback;
using test::PeerProcess;
using test::text_of;
using test::VpnHost;

const std::uint16_t port = test::own_port(0);

Deadline soon() {
    return within(10s);
}

/// A host with its folder, where capsuld would have written what it tells.
class Host : public VpnHost {
  public:
    Host(const char* called, int first)
        : VpnHost(called, loopback(first) + "/29"), address(loopback(first + 1)) {
        make_folders(folder_ / "peer/inbox");
        replace_file(folder_ / "identity.key", identity.to_pem());
    }
    void tells(const VpnBundle& bundle) const { replace_file(folder_ / "peer/bundle.json", text_of(bundle)); }
    void tells(const std::vector<const VpnHost*>& hosts) const {
        tells(bundle_of(test::vpn_subnet(), hosts));
    }
    void runs() {
        process_ = std::make_unique<PeerProcess>(std::vector<std::string>{
            "sync", "--folder", (folder_ / "peer").string(), "--identity",
            (folder_ / "identity.key").string(), "--listen", fmt::format("{}:{}", address, port), "--status",
            status_file().string(), "--interval", "86400"});
        EXPECT_TRUE(comes_true([&] { return fs::exists(status_file()); }));
    }
    void asks_again() const { process_->hang_up(); }
    /// What it finds of others.
    std::vector<PeerFinding> checks() const {
        const fs::path result = folder_ / "findings.json";
        const PeerProcess process({"check", "--folder", (folder_ / "peer").string(), "--identity",
                                   (folder_ / "identity.key").string(), "--listen",
                                   fmt::format("{}:{}", address, port), "--result", result.string()});
        EXPECT_TRUE(process.ends_well());
        return parse<PeerFindings>(read_file(result)).findings;
    }

    bool hears_of(const char* node, const std::string& text) const {
        const fs::path file = folder_ / "peer/inbox" / (std::string(node) + ".json");
        return fs::exists(file) && read_file(file) == text;
    }
    fs::path put_into_inbox(const std::string& called) const {
        fs::path file = folder_ / "peer/inbox" / called;
        replace_file(file, "half of it");
        return file;
    }
    bool has_heard_nothing() const { return fs::is_empty(folder_ / "peer/inbox"); }
    SyncPeer sees(const char* node) const {
        const auto status = parse<SyncStatus>(read_file(status_file()));
        const auto found = std::ranges::find(status.peers, NodeName::parse(node), &SyncPeer::node);
        return found == status.peers.end() ? SyncPeer{} : *found;
    }

    const std::string address;

  private:
    fs::path status_file() const { return folder_ / "status.json"; }

    test::TemporaryFolder folder_;
    std::unique_ptr<PeerProcess> process_;
};

/// A host that this test plays.
struct Caller {
    Caller(const Host& who, const Host& whom, const std::string& from)
        : socket(test::connected_from(from, whom.address, port)),
          context(TlsContext::of_identity(
              who.identity, [&](const Identity& other) { return other == whom.identity.identity(); })),
          channel(context, socket.get(), TlsChannel::Role::client, soon()) {}
    Caller(const Host& who, const Host& whom) : Caller(who, whom, who.address) {}

    /// What it is told, when it tells `text`. Throws Error when it is not taken.
    std::string exchange(const std::string& text) {
        std::string heard = channel.receive(most_bundle_bytes, soon());
        channel.send(text, soon());
        EXPECT_EQ(channel.receive(0, soon()), "");
        return heard;
    }

    UniqueFd socket;
    TlsContext context;
    TlsChannel channel;
};

class CapsulPeer : public testing::Test {
  protected:
    /// `a_` runs, and knows of `b_`.
    void start_a() {
        a_.tells({&a_, &b_});
        a_.runs();
    }
    /// Whether b, honest, is answered. It may have to wait until its place is free again.
    bool answers_b(const std::string& text) {
        return comes_true([&] {
            try {
                return Caller(b_, a_).exchange(text) == text_of(bundle_of(test::vpn_subnet(), {&a_, &b_}));
            } catch (const Error&) {
                return false;
            }
        });
    }
    /// What a finds of b by that check; one without a severity of its own when it was not made.
    PeerFinding found(const char* check) {
        const auto findings = a_.checks();
        const auto one = std::ranges::find(findings, check, &PeerFinding::check);
        return one == findings.end() ? PeerFinding{} : *one;
    }
    std::string told_by_b() const { return text_of(bundle_of(test::vpn_subnet(), {&b_, &a_, &c_})); }

    Host a_{"a", 0};
    Host b_{"b", 8};
    Host c_{"c", 16};
};

TEST_F(CapsulPeer, TellsAHostWhatThatDoesNotKnow) {
    a_.tells({&a_, &b_});
    b_.tells({&b_, &a_, &c_});
    a_.runs();
    EXPECT_FALSE(a_.sees("b").reachable);
    EXPECT_TRUE(a_.sees("b").problem);
    b_.runs();
    EXPECT_TRUE(comes_true([&] { return a_.hears_of("b", told_by_b()); }));
    EXPECT_TRUE(comes_true([&] { return a_.sees("b").reachable; }));
    EXPECT_TRUE(b_.sees("a").reachable);
    EXPECT_TRUE(b_.sees("a").rtt_ms);
    EXPECT_TRUE(b_.sees("a").last_seen);
    EXPECT_FALSE(b_.sees("c").reachable);
    EXPECT_TRUE(b_.has_heard_nothing());
}

TEST_F(CapsulPeer, TellsAtOnceWhatHasChanged) {
    start_a();
    b_.tells({&b_, &a_});
    b_.runs();
    EXPECT_TRUE(comes_true([&] { return a_.sees("b").reachable; }));
    a_.version = 2;
    a_.tells({&a_, &b_});
    a_.asks_again();
    EXPECT_TRUE(comes_true([&] {
        return b_.hears_of("a", text_of(bundle_of(test::vpn_subnet(), {&a_, &b_})));
    }));
}

TEST_F(CapsulPeer, SweepsWhatWasBeingWrittenWhenThePowerWentOff) {
    const fs::path old = a_.put_into_inbox(".b.json.abcdef");
    const fs::path young = a_.put_into_inbox(".c.json.abcdef");
    fs::last_write_time(old, fs::file_time_type::clock::now() - 1h);
    start_a();
    EXPECT_FALSE(fs::exists(old));
    EXPECT_TRUE(fs::exists(young));
}

TEST_F(CapsulPeer, ForgetsAHostThatIsNoLongerOne) {
    start_a();
    EXPECT_TRUE(a_.sees("b").problem);
    a_.tells({&a_});
    a_.asks_again();
    EXPECT_TRUE(comes_true([&] { return !a_.sees("b").problem; }));
}

TEST_F(CapsulPeer, RefusesWhoIsNotAMember) {
    start_a();
    try {
        Caller(c_, a_).exchange(told_by_b());
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::verification) << error.what();
    }
    EXPECT_TRUE(a_.has_heard_nothing());
}

TEST_F(CapsulPeer, RefusesWhoWasRevokedAMomentAgo) {
    start_a();
    EXPECT_TRUE(answers_b(told_by_b()));
    VpnBundle bundle = bundle_of(test::vpn_subnet(), {&a_, &b_});
    bundle.revoked = {b_.identity.identity()};
    a_.tells(bundle);
    EXPECT_THROW(Caller(b_, a_).exchange(told_by_b()), Error);
}

TEST_F(CapsulPeer, DoesNotTakeAnotherForTheHostThatItAsks) {
    const Host impostor("b", 8);
    Host asked("b", 8);
    a_.tells({&a_, &impostor});
    asked.tells({&asked, &a_});
    asked.runs();
    a_.runs();
    EXPECT_EQ(a_.sees("b").problem, "the other end is not one that is known here");
    EXPECT_FALSE(a_.sees("b").reachable);
}

TEST_F(CapsulPeer, TakesNothingThatIsWrong) {
    start_a();
    VpnBundle forged = bundle_of(test::vpn_subnet(), {&b_, &a_, &c_});
    forged.nodes[2].node.version = 7;
    const VpnBundle foreign =
        bundle_of(test::vpn_subnet(), {&b_, &a_, &c_}, "0b5d6a86-3f52-4d4e-9d0e-6f1e6a3a5c02");
    int from = 100; // each another, since the place of one before is held for a while
    for (const std::string& text :
         {text_of(forged), text_of(foreign), std::string("{}"), std::string(), std::string("[[[[[[")}) {
        EXPECT_THROW(Caller(b_, a_, loopback(from++)).exchange(text), Error) << text;
        EXPECT_TRUE(answers_b(text_of(bundle_of(test::vpn_subnet(), {&b_}))));
        EXPECT_TRUE(a_.has_heard_nothing());
    }
}

TEST_F(CapsulPeer, RefusesAMessageThatIsTooLong) {
    start_a();
    EXPECT_THROW(Caller(b_, a_).exchange(std::string(most_bundle_bytes + 1, ' ')), Error);
    EXPECT_TRUE(a_.has_heard_nothing());
    EXPECT_TRUE(answers_b(told_by_b()));
    EXPECT_TRUE(a_.hears_of("b", told_by_b()));
}

TEST_F(CapsulPeer, AnswersAHostWhileOthersFlood) {
    start_a();
    std::vector<UniqueFd> flood;
    for (int i = 0; i < 400; ++i) {
        const std::string from = loopback(64 + i % 150);
        flood.push_back(test::connected_from(from, a_.address, port));
        if (i % 2 == 0) { // the others say nothing at all
            ::send(flood.back().get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
        }
    }
    EXPECT_EQ(Caller(b_, a_).exchange(told_by_b()), text_of(bundle_of(test::vpn_subnet(), {&a_, &b_})));
    EXPECT_TRUE(a_.hears_of("b", told_by_b()));
}

// A host whose slice was changed calls from an address that nobody knows of yet.
TEST_F(CapsulPeer, AnswersAHostAtAnotherAddressWhileOthersKeepTheirPlaces) {
    start_a();
    std::vector<UniqueFd> silent;
    for (int i = 0; i < 60; ++i) {
        silent.push_back(test::connected_from(loopback(64 + i), a_.address, port));
    }
    Caller(b_, a_, loopback(200)).exchange(told_by_b());
    EXPECT_TRUE(a_.hears_of("b", told_by_b()));
}

TEST_F(CapsulPeer, HasOnePlaceForAnAddress) {
    start_a();
    const UniqueFd first = test::connected_from(loopback(64), a_.address, port);
    EXPECT_THROW(Caller(b_, a_, loopback(64)), Error);
    EXPECT_TRUE(answers_b(told_by_b()));
}

TEST_F(CapsulPeer, ChecksHowAnotherHostIsReached) {
    start_a();
    b_.tells({&b_, &a_});
    b_.runs();
    std::map<std::string, double> values;
    for (const PeerFinding& finding : a_.checks()) {
        EXPECT_EQ(finding.node.to_string(), "b");
        EXPECT_NE(finding.severity, Severity::failure) << finding.check << ": " << finding.message;
        if (finding.value) {
            values[finding.check] = *finding.value;
        }
    }
    EXPECT_EQ(values["mtu"], 1400);
    for (const char* check : {"handshake", "ping", "download", "upload"}) {
        EXPECT_GT(values[check], 0) << check;
    }
    EXPECT_TRUE(answers_b(told_by_b())); // the same host, by the same port, is none the worse for it
}

TEST_F(CapsulPeer, ExplainsThatNothingAnswers) {
    a_.tells({&a_, &b_});
    const PeerFinding finding = found("handshake");
    EXPECT_EQ(finding.severity, Severity::failure);
    EXPECT_NE(finding.message.find("Connection refused"), std::string::npos) << finding.message;
    EXPECT_NE(finding.hint, "");
    EXPECT_EQ(found("download").node, NodeName());
}

TEST_F(CapsulPeer, ExplainsThatItWasRemovedThere) {
    a_.tells({&a_, &b_});
    b_.tells({&b_});
    b_.runs();
    const PeerFinding finding = found("handshake");
    EXPECT_EQ(finding.severity, Severity::failure);
    EXPECT_NE(finding.hint.find("removed"), std::string::npos) << finding.message;
}

} // namespace
} // namespace capsul
