#include "daemon/vpn_plan.hpp"

#include "lib/error.hpp"
#include "tests/lab_records.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

NetGrants grants() {
    return parse_net_grants("1000 prefix cap-\n1000 bridge own 16\n1000 tap own 64\n1000 nat own\n"
                            "1000 subnet own 10.90.0.0/16\n1000 subnet own fd90::/32\n");
}

VpnHost host() {
    return {NodeName::parse("here"), 11655};
}

NetworkRecord asked(const std::string& subnet = "") {
    NetworkCreate call;
    call.name = Name::parse("lab");
    call.type = NetworkType::vpn;
    if (!subnet.empty()) {
        call.subnet = Cidr::parse(subnet);
    }
    return network_record(call);
}

NetworkRecord planned(NetworkRecord network, const VpnWishes& wishes = {},
                      const OccupiedNetwork& occupied = {}) {
    plan_vpn(network, wishes, host(), grants(), occupied);
    return network;
}

class JoinTest : public testing::Test {
  protected:
    const PrivateIdentity b_ = PrivateIdentity::generate();
    NetworkJoin call_;

    void SetUp() override {
        call_.bundle = test::lab::vpn_bundle(
            {VpnStatement::make(test::lab::vpn_node("b", "10.90.0.0/26", b_.identity()), b_)});
        call_.bundle.slice = Cidr::parse("10.90.0.64/26");
    }
    [[nodiscard]] NetworkRecord joined() const { return joined_vpn(call_, host(), grants(), {}); }
};

} // namespace

TEST(VpnPlan, ChoosesWhatWasNotAsked) {
    const NetworkRecord network = planned(asked());
    EXPECT_EQ(network.subnet->to_string(), "10.90.240.0/20");
    EXPECT_EQ(network.vpn->slice.to_string(), "10.90.240.0/26");
    EXPECT_EQ(network.range->to_string(), "10.90.240.3-10.90.240.62");
    EXPECT_EQ(network.bridge.to_string(), "cap-lab");
    EXPECT_EQ(network.vpn->trunk.to_string(), "cap-lab-vpn");
    EXPECT_EQ(network.dhcp_tap->to_string(), "cap-lab-dns");
    EXPECT_EQ(network.vpn->node.to_string(), "here");
    EXPECT_EQ(network.vpn->port, 11655);
    EXPECT_EQ(network.vpn->mtu, 1380);
    EXPECT_FALSE(network.gateway);
}

TEST(VpnPlan, TakesWhatWasAsked) {
    VpnWishes wishes;
    wishes.node = NodeName::parse("other");
    wishes.mtu = 1400;
    wishes.slice = Cidr::parse("10.90.4.0/24");
    wishes.addresses = {VpnAddressWish::parse("192.0.2.1")};
    const NetworkRecord network = planned(asked("10.90.0.0/16"), wishes);
    EXPECT_EQ(network.vpn->node.to_string(), "other");
    EXPECT_EQ(network.vpn->mtu, 1400);
    EXPECT_EQ(network.range->to_string(), "10.90.4.3-10.90.4.254");
    EXPECT_EQ(network.vpn->addresses.at(0).to_string(), "192.0.2.1:11655");
}

TEST(VpnPlan, RefusesWhatCannotBe) {
    for (const char* subnet : {"10.90.0.0/29", "10.80.0.0/24", "fd90::/64"}) {
        EXPECT_THROW(static_cast<void>(planned(asked(subnet))), Error) << subnet;
    }
    VpnWishes wishes;
    for (const int mtu : {0, 575, 1501}) {
        wishes.mtu = mtu;
        EXPECT_THROW(static_cast<void>(planned(asked(), wishes)), Error) << mtu;
    }
    NetworkRecord network = asked();
    network.subnet6 = Cidr::parse("fd90::/48");
    EXPECT_THROW(static_cast<void>(planned(network)), Error);
    network.subnet6 = Cidr::parse("fd90::/64");
    wishes.mtu = 1279;
    EXPECT_THROW(static_cast<void>(planned(network, wishes)), Error);
}

TEST(VpnPlan, RefusesASubnetThatIsTaken) {
    const OccupiedNetwork occupied{{}, {{Cidr::parse("10.90.1.0/24"), "a route of this host"}}};
    EXPECT_THROW(static_cast<void>(planned(asked("10.90.0.0/16"), {}, occupied)), Error);
}

TEST(VpnPlan, ChoosesTheLastSubnetThatIsFree) {
    const auto chosen = [](std::vector<std::pair<Cidr, std::string>> subnets) {
        return planned(asked(), {}, {{}, std::move(subnets)}).subnet->to_string();
    };
    EXPECT_EQ(chosen({{Cidr::parse("10.90.240.0/24"), "x"}}), "10.90.224.0/20");
    EXPECT_EQ(chosen({{Cidr::parse("10.90.16.0/20"), "x"},
                      {Cidr::parse("10.90.32.0/19"), "x"},
                      {Cidr::parse("10.90.64.0/18"), "x"},
                      {Cidr::parse("10.90.128.0/17"), "x"}}),
              "10.90.0.0/20");
    EXPECT_THROW(chosen({{Cidr::parse("10.90.0.0/16"), "x"}}), Error);
}

TEST(VpnPlan, DoesNotChooseWhatAnotherHostGivesANatNetwork) {
    NetworkCreate call;
    call.name = Name::parse("lan");
    NetworkRecord nat = network_record(call);
    plan_nat(nat, grants(), {});
    EXPECT_FALSE(planned(asked()).subnet->overlaps(*nat.subnet));
}

TEST(VpnPlan, RefusesAUserWithoutOwnBridges) {
    NetworkRecord network = asked();
    EXPECT_THROW(plan_vpn(network, {}, host(), parse_net_grants("1000 prefix cap-\n"), {}), Error);
}

TEST(VpnPlan, RefusesWhatVpnsDoNotHave) {
    NetworkCreate call;
    call.name = Name::parse("lab");
    call.type = NetworkType::vpn;
    const auto refused = [](NetworkCreate changed) {
        try {
            static_cast<void>(network_record(changed));
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::invalid);
        }
    };
    NetworkCreate other = call;
    other.gateway = IpAddress::parse("10.90.0.1");
    refused(other);
    other = call;
    other.range = IpRange::parse("10.90.0.1-10.90.0.9");
    refused(other);
    other = call;
    other.isolate = true;
    refused(other);
    other = call;
    other.dns = {IpAddress::parse("9.9.9.9")};
    refused(other);
    other = call;
    other.egress = Egress();
    refused(other);
    other = call;
    other.type = NetworkType::nat;
    other.vpn = VpnWishes();
    refused(other);
}

TEST_F(JoinTest, TakesTheSliceThatWasKept) {
    const NetworkRecord network = joined();
    EXPECT_EQ(network.name.to_string(), "lab");
    EXPECT_EQ(network.vpn->slice.to_string(), "10.90.0.64/26");
    EXPECT_EQ(network.vpn->id.to_string(), test::lab::vpn_id);
    EXPECT_EQ(network.subnet6, call_.bundle.subnet6);
}

TEST_F(JoinTest, FindsAFreeSliceWhereNoneWasKept) {
    call_.bundle.slice.reset();
    EXPECT_EQ(joined().vpn->slice.to_string(), "10.90.0.64/26");
}

TEST_F(JoinTest, RefusesAnothersNameOrSlice) {
    call_.vpn.slice = Cidr::parse("10.90.0.0/27");
    EXPECT_THROW(static_cast<void>(joined()), Error);
    call_.vpn.slice.reset();
    call_.vpn.node = NodeName::parse("b");
    EXPECT_THROW(static_cast<void>(joined()), Error);
}

TEST_F(JoinTest, RefusesASubnetThatIsNotAllowedHere) {
    EXPECT_THROW(static_cast<void>(joined_vpn(call_, host(),
                                              parse_net_grants("1000 prefix cap-\n1000 bridge own 1\n"
                                                               "1000 nat own\n1000 subnet own "
                                                               "10.80.0.0/16\n"),
                                              {})),
                 Error);
}

} // namespace capsul
