// capsul-peer invite, and who joins.
#include "lib/error.hpp"
#include "lib/join_client.hpp"
#include "tests/integration/capsul_peer_fixture.hpp"

#include <gtest/gtest.h>
#include <poll.h>

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

/// Runs `work`, which has to fail; with what code.
template <class Work>
ErrorCode failure_of(Work work) {
    try {
        work();
    } catch (const Error& error) {
        EXPECT_STRNE(error.what(), "");
        return error.code();
    }
    ADD_FAILURE() << "it did not fail";
    return ErrorCode::internal;
}

class CapsulInvite : public testing::Test {
  protected:
    CapsulInvite() {
        for (const char* folder : {"peer/inbox", "hosts", "invite"}) {
            make_folders(folder_ / folder);
        }
        a_tells({&a_});
        code_.network = Name::parse("office");
        code_.addresses = {VpnAddress::parse(fmt::format("127.0.0.1:{}", port_))};
        code_.secret = JoinSecret::generate();
        code_.inviter = a_.identity.identity();
        code_.expires = Timestamp(Timestamp::now().value() + 1h);
    }

    void a_tells(const std::vector<const VpnHost*>& hosts) const {
        replace_file(folder_ / "peer/bundle.json", text_of(bundle_of(test::vpn_subnet(), hosts)));
    }
    void open(const Timestamp& expires) {
        const Invitation invitation{code_.secret, port_, expires, b_.slice};
        replace_file(file(), dump_json(encode(invitation)));
        process_ = std::make_unique<PeerProcess>(
            std::vector<std::string>{"invite", "--folder", (folder_ / "peer").string(), "--hosts",
                                     (folder_ / "hosts").string(), "--invitation", file().string()});
    }
    /// And waits until it listens.
    void open() {
        open(code_.expires);
        EXPECT_TRUE(comes_true([&] {
            try {
                return static_cast<bool>(test::connected_from("127.0.0.1", "127.0.0.1", port_));
            } catch (const Error&) {
                return false;
            }
        }));
    }
    fs::path file() const { return folder_ / "invite/invitation.json"; }
    VpnBundle told_by_b() const { return bundle_of(test::vpn_subnet(), {&b_, &a_}); }

    /// What capsuld does.
    void take_in(const char* node, bool refuse = false) const {
        const fs::path inbox = folder_ / "peer/inbox" / fmt::format("join-{}.json", node);
        EXPECT_TRUE(comes_true([&] { return fs::exists(inbox); }));
        EXPECT_EQ(read_file(inbox), text_of(told_by_b()));
        if (!refuse) {
            replace_file(folder_ / "hosts" / node, "its key");
        }
        fs::remove(inbox);
    }
    void join(JoinClient& client) const {
        std::jthread capsuld([&] { take_in("b"); });
        client.hand_over(told_by_b());
    }

    const std::uint16_t port_ = test::own_port(1);
    test::TemporaryFolder folder_;
    VpnHost a_{"a", loopback(0) + "/29"};
    VpnHost b_{"b", loopback(8) + "/29"};
    JoinCode code_;
    std::unique_ptr<PeerProcess> process_;
};

TEST_F(CapsulInvite, TakesAHostInAndIsUsedUp) {
    open();
    JoinClient client(JoinCode::parse(code_.to_string()));
    const VpnBundle bundle = client.hello(b_.name);
    EXPECT_EQ(bundle.slice, b_.slice);
    EXPECT_EQ(bundle.nodes, bundle_of(test::vpn_subnet(), {&a_}).nodes);
    EXPECT_TRUE(fs::exists(file()));
    join(client);
    EXPECT_TRUE(process_->ends_well());
    EXPECT_FALSE(fs::exists(file()));
    EXPECT_EQ(failure_of([&] { JoinClient again(code_); }), ErrorCode::unreachable);
}

TEST_F(CapsulInvite, IsFoundAtTheAddressThatIsRight) {
    open();
    code_.addresses.insert(code_.addresses.begin(),
                           VpnAddress::parse(fmt::format("127.0.0.1:{}", test::own_port(2))));
    JoinClient client(code_);
    EXPECT_EQ(client.hello(b_.name).slice, b_.slice);
}

TEST_F(CapsulInvite, DoesNotAskWhatTimeTheJoiningHostHas) {
    code_.expires = Timestamp::parse("2001-01-01T00:00:00Z"); // as a clock that is years ahead sees it
    open(Timestamp(Timestamp::now().value() + 1h));
    EXPECT_TRUE(comes_true([&] {
        try {
            return JoinClient(code_).hello(b_.name).slice == b_.slice;
        } catch (const Error&) {
            return false; // it does not listen yet
        }
    }));
}

TEST_F(CapsulInvite, EndsWhenItIsOver) {
    open(Timestamp(Timestamp::now().value() + 1s));
    EXPECT_TRUE(process_->ends_well());
    EXPECT_FALSE(fs::exists(file()));
    EXPECT_EQ(failure_of([&] { JoinClient client(code_); }), ErrorCode::unreachable);
    open(Timestamp(Timestamp::now().value() - 24h));
    EXPECT_TRUE(process_->ends_well());
    EXPECT_FALSE(fs::exists(file()));
}

TEST_F(CapsulInvite, RefusesAnotherSecret) {
    open();
    JoinCode altered = code_;
    altered.secret = JoinSecret::generate();
    EXPECT_EQ(failure_of([&] { JoinClient client(altered); }), ErrorCode::verification);
    EXPECT_TRUE(fs::exists(file()));
}

/// A server with a certificate but without the secret, as somebody in the middle would have it.
TEST_F(CapsulInvite, IsNotFoundWhereTheSecretIsNotKnown) {
    const UniqueFd listener = listen_tcp(SocketAddress("127.0.0.1", port_));
    std::jthread impostor([&] {
        wait_for(listener.get(), POLLIN, within(10s));
        const UniqueFd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        const TlsContext context = TlsContext::of_identity(a_.identity, [](const Identity&) { return true; });
        EXPECT_THROW(TlsChannel(context, socket.get(), TlsChannel::Role::server, within(10s)), Error);
    });
    EXPECT_EQ(failure_of([&] { JoinClient client(code_); }), ErrorCode::verification);
}

TEST_F(CapsulInvite, RefusesABundleOfAnotherHostThanTheCodeIsOf) {
    open();
    code_.inviter = b_.identity.identity();
    JoinClient client(code_);
    EXPECT_EQ(failure_of([&] { (void)client.hello(b_.name); }), ErrorCode::verification);
}

TEST_F(CapsulInvite, RefusesANameThatIsTaken) {
    open();
    JoinClient client(code_);
    EXPECT_EQ(failure_of([&] { (void)client.hello(a_.name); }), ErrorCode::exists);
    EXPECT_TRUE(fs::exists(file()));
}

TEST_F(CapsulInvite, RefusesWhenItsSliceIsTaken) {
    open();
    const VpnHost other("c", b_.slice.to_string());
    a_tells({&a_, &other});
    JoinClient client(code_);
    EXPECT_EQ(failure_of([&] { (void)client.hello(b_.name); }), ErrorCode::in_use);
}

TEST_F(CapsulInvite, RefusesABundleThatIsNotAsAgreed) {
    open();
    const VpnHost other_name("c", b_.slice.to_string());
    const VpnHost other_slice("b", loopback(16) + "/29");
    VpnBundle forged = told_by_b();
    forged.nodes[0].node.version = 9;
    const std::vector<std::pair<VpnBundle, ErrorCode>> bad{
        {bundle_of(test::vpn_subnet(), {&other_name}), ErrorCode::invalid},
        {bundle_of(test::vpn_subnet(), {&other_slice}), ErrorCode::invalid},
        {bundle_of(test::vpn_subnet(), {&b_}, "0b5d6a86-3f52-4d4e-9d0e-6f1e6a3a5c02"), ErrorCode::invalid},
        {forged, ErrorCode::verification},
    };
    for (const auto& [bundle, code] : bad) {
        std::optional<JoinClient> client;
        ASSERT_TRUE(comes_true([&] {
            try {
                client.emplace(code_);
                return client->hello(b_.name).slice == b_.slice;
            } catch (const Error&) {
                return false; // the one before has not gone yet
            }
        }));
        EXPECT_EQ(failure_of([&] { client->hand_over(bundle); }), code);
        EXPECT_TRUE(fs::is_empty(folder_ / "peer/inbox"));
    }
    EXPECT_TRUE(fs::exists(file()));
}

TEST_F(CapsulInvite, TellsThatCapsuldHasRefused) {
    open();
    JoinClient client(code_);
    (void)client.hello(b_.name);
    std::jthread capsuld([&] { take_in("b", true); });
    EXPECT_EQ(failure_of([&] { client.hand_over(told_by_b()); }), ErrorCode::denied);
    EXPECT_TRUE(fs::exists(file()));
}

TEST_F(CapsulInvite, IsOfOneHostAtATime) {
    open();
    JoinClient first(code_);
    (void)first.hello(b_.name);
    JoinClient second(code_);
    EXPECT_EQ(failure_of([&] { (void)second.hello(b_.name); }), ErrorCode::busy);
    join(first);
    EXPECT_TRUE(process_->ends_well());
}

TEST_F(CapsulInvite, WaitsForAHostThatDroppedOut) {
    open();
    (void)JoinClient(code_).hello(b_.name);
    EXPECT_TRUE(fs::exists(file()));
    std::optional<JoinClient> client;
    EXPECT_TRUE(comes_true([&] {
        try {
            client.emplace(code_);
            return client->hello(b_.name).slice == b_.slice;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::busy); // it has not noticed yet
            return false;
        }
    }));
    join(*client);
    EXPECT_TRUE(process_->ends_well());
}

TEST_F(CapsulInvite, LetsAHostInWhileOthersFlood) {
    open();
    std::vector<UniqueFd> flood;
    for (int i = 0; i < 400; ++i) {
        flood.push_back(test::connected_from(loopback(64 + i % 150), "127.0.0.1", port_));
        if (i % 2 == 0) {
            ::send(flood.back().get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
        }
    }
    JoinClient client(code_);
    (void)client.hello(b_.name);
    join(client);
    EXPECT_TRUE(process_->ends_well());
}

} // namespace
} // namespace capsul
