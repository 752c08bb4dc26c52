#include "lib/vpn_sync.hpp"

#include "tests/vpn_hosts.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

using test::bundle_of;
using test::VpnHost;

const std::string subnet = "10.90.0.0/24";

class SaysMore : public testing::Test {
  protected:
    VpnHost a_{"a", "10.90.0.0/29"};
    VpnHost b_{"b", "10.90.0.8/29"};
    VpnHost c_{"c", "10.90.0.16/29"};
};

TEST_F(SaysMore, OfAHostThatIsNotKnown) {
    EXPECT_TRUE(says_more(bundle_of(subnet, {&b_, &a_, &c_}), bundle_of(subnet, {&a_, &b_})));
    EXPECT_FALSE(says_more(bundle_of(subnet, {&b_}), bundle_of(subnet, {&a_, &b_})));
}

TEST_F(SaysMore, OnlyWhenAVersionIsHigher) {
    const VpnBundle before = bundle_of(subnet, {&a_, &b_});
    b_.version = 2;
    const VpnBundle after = bundle_of(subnet, {&a_, &b_});
    EXPECT_TRUE(says_more(after, before));
    EXPECT_FALSE(says_more(before, after));
}

TEST_F(SaysMore, OfARevokedIdentity) {
    VpnBundle own = bundle_of(subnet, {&a_, &b_});
    VpnBundle theirs = bundle_of(subnet, {&b_, &a_});
    theirs.revoked = {c_.identity.identity()};
    EXPECT_TRUE(says_more(theirs, own));
    own.revoked = theirs.revoked;
    EXPECT_FALSE(says_more(theirs, own));
}

TEST_F(SaysMore, NotWhenItIsOfAHostThatIsRevokedHere) {
    VpnBundle own = bundle_of(subnet, {&a_, &b_});
    own.revoked = {c_.identity.identity()};
    EXPECT_FALSE(says_more(bundle_of(subnet, {&b_, &c_}), own));
}

TEST(MemberOf, IsNobodyWhoIsRevokedOrUnknown) {
    const VpnHost a("a", "10.90.0.0/29");
    const VpnHost b("b", "10.90.0.8/29");
    VpnBundle bundle = bundle_of(subnet, {&a});
    EXPECT_EQ(member_of(bundle, a.identity.identity()), a.name);
    EXPECT_EQ(member_of(bundle, b.identity.identity()), std::nullopt);
    bundle.revoked = {a.identity.identity()};
    EXPECT_EQ(member_of(bundle, a.identity.identity()), std::nullopt);
}

} // namespace
} // namespace capsul
