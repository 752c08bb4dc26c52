#include "daemon/vpn_book.hpp"

#include "lib/error.hpp"
#include "tests/lab_records.hpp"

#include <functional>
#include <gtest/gtest.h>

namespace capsul {
namespace {

class VpnBookTest : public testing::Test {
  protected:
    const PrivateIdentity a_ = PrivateIdentity::generate();
    const PrivateIdentity b_ = PrivateIdentity::generate();
    const PrivateIdentity c_ = PrivateIdentity::generate();
    NetworkRecord network_ = test::lab::vpn_network(a_.identity());
    VpnBook empty_;

    [[nodiscard]] static VpnStatement says(const PrivateIdentity& who, const std::string& name,
                                           const std::string& slice, std::uint64_t version = 1) {
        VpnNode node = test::lab::vpn_node(name, slice, who.identity());
        node.version = version;
        return VpnStatement::make(node, who);
    }
    [[nodiscard]] VpnStatement b(std::uint64_t version = 1) const {
        return says(b_, "b", "10.90.0.64/26", version);
    }
    [[nodiscard]] VpnStatement c() const { return says(c_, "c", "10.90.0.128/26"); }
    [[nodiscard]] VpnBook after(const VpnBook& book, const VpnBundle& bundle,
                                Speaker speaker = Speaker::member) const {
        return merged(network_, book, bundle, speaker);
    }
    void expect_objection(const VpnBook& book, const VpnStatement& who, ErrorCode code) const {
        try {
            static_cast<void>(after(book, test::lab::vpn_bundle({who}), Speaker::introduced));
            ADD_FAILURE() << "nothing was refused";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            EXPECT_FALSE(error.hint().empty());
        }
        EXPECT_EQ(after(book, test::lab::vpn_bundle({c(), who})).peers.size(), book.peers.size() + 1)
            << "what a member passes on is passed over, or at least c was not taken in";
    }
};

} // namespace

TEST_F(VpnBookTest, GrowsByWhatOthersKnow) {
    const VpnBook book = after(empty_, test::lab::vpn_bundle({c(), b()}), Speaker::introduced);
    ASSERT_EQ(book.peers.size(), 2U);
    EXPECT_EQ(book.peers[0], b()); // by name
    EXPECT_EQ(book.peers[1], c());
    EXPECT_EQ(after(book, test::lab::vpn_bundle({b(), c()})), book);
}

TEST_F(VpnBookTest, BelievesTheLaterWord) {
    const VpnBook book = after(empty_, test::lab::vpn_bundle({b(5)}));
    EXPECT_EQ(after(book, test::lab::vpn_bundle({b(4)})), book);
    EXPECT_EQ(after(book, test::lab::vpn_bundle({b(6)})).peers[0].node.version, 6U);
}

TEST_F(VpnBookTest, HasNothingOfThisHostItself) {
    EXPECT_TRUE(after(empty_, test::lab::vpn_bundle({says(a_, "a", "10.90.0.0/26", 9)})).peers.empty());
}

TEST_F(VpnBookTest, RefusesAnothersName) {
    expect_objection(empty_, says(b_, "a", "10.90.0.64/26"), ErrorCode::in_use);
    const PrivateIdentity other = PrivateIdentity::generate();
    expect_objection(after(empty_, test::lab::vpn_bundle({b()})), says(other, "b", "10.90.0.192/26"),
                     ErrorCode::in_use);
}

TEST_F(VpnBookTest, RefusesAnotherVpn) {
    VpnBundle bundle = test::lab::vpn_bundle({b()});
    bundle.id = Uuid::make();
    EXPECT_THROW(static_cast<void>(after(empty_, bundle)), Error);
    bundle = test::lab::vpn_bundle({b()});
    bundle.subnet = Cidr::parse("10.90.0.0/19");
    EXPECT_THROW(static_cast<void>(after(empty_, bundle)), Error);
}

TEST_F(VpnBookTest, KeepsAHostsNameAsItWas) {
    const VpnBook book = after(empty_, test::lab::vpn_bundle({b()}));
    EXPECT_EQ(after(book, test::lab::vpn_bundle({says(b_, "d", "10.90.0.64/26", 2)})), book);
}

TEST_F(VpnBookTest, TellsOfSlicesThatOverlap) {
    const VpnStatement thief = says(b_, "b", "10.90.0.32/27");
    EXPECT_THROW(static_cast<void>(after(empty_, test::lab::vpn_bundle({thief}), Speaker::introduced)),
                 Error);
    const VpnBook book = after(empty_, test::lab::vpn_bundle({c(), thief}));
    ASSERT_EQ(book.peers.size(), 2U); // the members have it; it is for them to see
    EXPECT_TRUE(slice_problem(network_, book, thief.node));
    EXPECT_FALSE(slice_problem(network_, book, c().node));
}

TEST_F(VpnBookTest, ForgetsTheRevokedForGood) {
    const VpnBook book = after(empty_, test::lab::vpn_bundle({b(), c()}));
    const VpnBook without = without_peer(network_, book, NodeName::parse("b"));
    ASSERT_EQ(without.peers.size(), 1U);
    EXPECT_EQ(without.revoked, std::vector{b_.identity()});
    EXPECT_EQ(after(without, test::lab::vpn_bundle({c(), b(9)})), without);
    EXPECT_THROW(static_cast<void>(after(without, test::lab::vpn_bundle({b(9)}), Speaker::introduced)),
                 Error);
    EXPECT_THROW(static_cast<void>(without_peer(network_, without, NodeName::parse("b"))), Error);
    const PrivateIdentity anew = PrivateIdentity::generate();
    EXPECT_EQ(after(without, test::lab::vpn_bundle({says(anew, "b", "10.90.0.64/26")}), Speaker::introduced)
                  .peers.size(),
              2U);
}

TEST_F(VpnBookTest, LearnsWhoIsRevoked) {
    const VpnBook book = after(empty_, test::lab::vpn_bundle({b(), c()}));
    VpnBundle bundle = test::lab::vpn_bundle({c()});
    bundle.revoked = {b_.identity()};
    const VpnBook later = after(book, bundle);
    EXPECT_EQ(later.peers.size(), 1U);
    EXPECT_EQ(later.revoked, std::vector{b_.identity()});
}

// Or a member could see to it that nobody is ever revoked again.
TEST_F(VpnBookTest, RevokesAHostHoweverManyAreRevoked) {
    VpnBook book = after(empty_, test::lab::vpn_bundle({b(), c()}));
    VpnBundle flood = test::lab::vpn_bundle({c()});
    for (int i = 0; i < 1100; ++i) {
        flood.revoked.push_back(PrivateIdentity::generate().identity());
    }
    book = after(book, flood);
    EXPECT_EQ(book.revoked.size(), 1024U);
    const VpnBook without = without_peer(network_, book, NodeName::parse("b"));
    EXPECT_EQ(without.peers.size(), 1U);
    VpnBundle told = test::lab::vpn_bundle({c()});
    told.revoked = {b_.identity()};
    EXPECT_EQ(after(book, told).peers.size(), 1U);
}

TEST_F(VpnBookTest, SaysThatAHostThatIsIntroducedWasNotTakenIn) {
    const VpnBook book = after(empty_, test::lab::vpn_bundle({b()}));
    const VpnBundle renamed = test::lab::vpn_bundle({says(b_, "d", "10.90.0.64/26", 2)});
    EXPECT_THROW(static_cast<void>(after(book, renamed, Speaker::introduced)), Error);
    std::vector<VpnStatement> all;
    for (int i = 1; i < 64; ++i) {
        all.push_back(says(PrivateIdentity::generate(), "n" + std::to_string(i), "10.90.1.0/26"));
    }
    const VpnBook full = after(empty_, test::lab::vpn_bundle(all));
    EXPECT_THROW(static_cast<void>(after(full, test::lab::vpn_bundle({b()}), Speaker::introduced)), Error);
}

TEST_F(VpnBookTest, HasRoomForSixtyFourHosts) {
    std::vector<VpnStatement> all{b()};
    for (int i = 1; i < 64; ++i) {
        all.push_back(says(PrivateIdentity::generate(), "n" + std::to_string(i), "10.90.1.0/26"));
    }
    EXPECT_EQ(after(empty_, test::lab::vpn_bundle(all)).peers.size(), 63U);
}

TEST_F(VpnBookTest, FindsTheFirstSliceThatIsNobodys) {
    EXPECT_EQ(free_slice(network_, empty_).to_string(), "10.90.0.64/26");
    network_.vpn->kept = {{NodeName::parse("d"), Cidr::parse("10.90.0.192/26")}};
    EXPECT_EQ(free_slice(network_, after(empty_, test::lab::vpn_bundle({b(), c()}))).to_string(),
              "10.90.1.0/26");
    network_.vpn->kept = {{NodeName::parse("d"), Cidr::parse("10.90.0.0/20")}};
    EXPECT_THROW(static_cast<void>(free_slice(network_, empty_)), Error);
}

TEST_F(VpnBookTest, RefusesASliceThatIsAnothers) {
    const VpnBook book = after(empty_, test::lab::vpn_bundle({b()}));
    for (const char* slice :
         {"10.90.0.64/27", "10.90.0.0/25", "10.90.0.0/20", "10.91.0.0/26", "10.90.0.0/30"}) {
        EXPECT_THROW(check_slice(network_, book, Cidr::parse(slice)), Error) << slice;
    }
    EXPECT_NO_THROW(check_slice(network_, book, Cidr::parse("10.90.0.0/26")));
}

} // namespace capsul
