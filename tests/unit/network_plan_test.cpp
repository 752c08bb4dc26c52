#include "daemon/network_plan.hpp"

#include "lib/error.hpp"
#include "tests/network_records.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

NetGrants grants() {
    return parse_net_grants("1001 prefix cap-\n1001 bridge own 16\n1001 tap br0 64\n1001 tap own 512\n"
                            "1001 ip br0 203.0.113.16/28\n1001 subnet own 10.80.0.0/22\n"
                            "1001 subnet own fd80::/48\n1001 nat own\n");
}

TEST(NetGrants, NameTheScriptThatIsInstalledBesideTheHelper) {
    try {
        static_cast<void>(read_net_grants("/nowhere/libexec/capsul/capsul-net"));
        FAIL();
    } catch (const Error& error) {
        EXPECT_NE(error.hint().find("sudo /nowhere/share/capsul/host-setup.sh"), std::string::npos);
    }
}

NetworkCreate nat(const char* name) {
    NetworkCreate call;
    call.name = Name::parse(name);
    return call;
}

NetworkCreate on_bridge(const char* bridge) {
    NetworkCreate call = nat("public");
    call.type = NetworkType::bridge;
    call.bridge = InterfaceName::parse(bridge);
    return call;
}

NetworkRecord planned(const NetworkCreate& call, const OccupiedNetwork& occupied = {}) {
    NetworkRecord network = network_record(call);
    plan_nat(network, grants(), occupied);
    return network;
}

Link bridge_link(const char* name) {
    Link link;
    link.name = name;
    link.kind = "bridge";
    return link;
}

template <class Work>
ErrorCode refusal(Work work) {
    try {
        work();
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "was taken";
    return ErrorCode::internal;
}

TEST(NetGrants, RefuseWhatTheyDoNotKnow) {
    EXPECT_THROW(static_cast<void>(parse_net_grants("1001 root everything\n")), Error);
}

TEST(NetworkPlan, ChoosesAFreeSubnetAndItsFirstAddress) {
    const NetworkRecord network = planned(nat("lan"));
    EXPECT_EQ(network.subnet, Cidr::parse("10.80.0.0/24"));
    EXPECT_EQ(network.gateway, IpAddress::parse("10.80.0.1"));
    EXPECT_EQ(network.bridge.to_string(), "cap-lan");
    EXPECT_FALSE(network.subnet6);
}

TEST(NetworkPlan, PassesOverSubnetsInUse) {
    const OccupiedNetwork occupied{{}, {{Cidr::parse("10.80.0.0/23"), "a route"}}};
    EXPECT_EQ(planned(nat("lan"), occupied).subnet, Cidr::parse("10.80.2.0/24"));
    const OccupiedNetwork all{{}, {{Cidr::parse("10.0.0.0/8"), "a route"}}};
    EXPECT_EQ(refusal([&] { planned(nat("lan"), all); }), ErrorCode::in_use);
}

TEST(NetworkPlan, RefusesASubnetThatOverlapsOrIsNotAllowed) {
    NetworkCreate call = nat("lan");
    call.subnet = Cidr::parse("10.80.1.0/24");
    const OccupiedNetwork occupied{{}, {{Cidr::parse("10.80.1.128/25"), "the network old"}}};
    EXPECT_EQ(refusal([&] { planned(call, occupied); }), ErrorCode::in_use);
    EXPECT_EQ(planned(call).subnet, call.subnet);
    call.subnet = Cidr::parse("10.81.0.0/24");
    EXPECT_EQ(refusal([&] { planned(call); }), ErrorCode::denied);
    call.subnet = Cidr::parse("10.80.0.0/16");
    EXPECT_EQ(refusal([&] { planned(call); }), ErrorCode::denied);
    call.subnet = Cidr::parse("10.80.1.0/24");
    call.subnet6 = Cidr::parse("fd81::/64");
    EXPECT_EQ(refusal([&] { planned(call); }), ErrorCode::denied);
}

TEST(NetworkPlan, RefusesNatToWhomItIsNotGranted) {
    NetworkRecord network = network_record(nat("lan"));
    EXPECT_EQ(refusal([&] { plan_nat(network, parse_net_grants("1001 prefix cap-\n"), {}); }),
              ErrorCode::denied);
}

TEST(NetworkPlan, RefusesWhatATypeCannotHave) {
    NetworkCreate call = nat("lan");
    call.bridge = InterfaceName::parse("br0");
    EXPECT_EQ(refusal([&] { static_cast<void>(network_record(call)); }), ErrorCode::invalid);
    call = on_bridge("br0");
    call.egress = Egress::parse("none");
    EXPECT_EQ(refusal([&] { static_cast<void>(network_record(call)); }), ErrorCode::invalid);
    call = on_bridge("br0");
    call.bridge.reset();
    EXPECT_EQ(refusal([&] { static_cast<void>(network_record(call)); }), ErrorCode::invalid);
}

TEST(NetworkPlan, GivesGuestsOnABridgeOnlyWhatIsAllowedThere) {
    NetworkCreate call = on_bridge("br0");
    call.subnet = Cidr::parse("203.0.113.0/24");
    NetworkRecord network = network_record(call);
    plan_bridge(network, grants(), bridge_link("br0"), {});
    EXPECT_EQ(network.range, IpRange::parse("203.0.113.16-203.0.113.31"));
    call.range = IpRange::parse("203.0.113.30-203.0.113.40");
    network = network_record(call);
    EXPECT_EQ(refusal([&] { plan_bridge(network, grants(), bridge_link("br0"), {}); }), ErrorCode::denied);
    call.range.reset();
    call.subnet = Cidr::parse("198.51.100.0/24");
    network = network_record(call);
    EXPECT_EQ(refusal([&] { plan_bridge(network, grants(), bridge_link("br0"), {}); }), ErrorCode::denied);
}

NetworkRecord bridged(const char* name, const char* range) {
    NetworkRecord network = test::bridge_network(name, "br0");
    network.subnet = Cidr::parse("203.0.113.0/24");
    network.range = IpRange::parse(range);
    return network;
}

TEST(NetworkPlan, LetsNoTwoNetworksGiveOutOneAddressOnOneWire) {
    NetworkRecord other = bridged("pub", "203.0.113.20-203.0.113.31");
    const auto plan = [&](const char* range) {
        NetworkRecord network = bridged("more", range);
        plan_bridge(network, grants(), bridge_link("br0"), {other});
    };
    EXPECT_EQ(refusal([&] { plan("203.0.113.16-203.0.113.20"); }), ErrorCode::in_use);
    EXPECT_NO_THROW(plan("203.0.113.16-203.0.113.19"));
    other.bridge = InterfaceName::parse("br1");
    EXPECT_NO_THROW(plan("203.0.113.16-203.0.113.20"));
    other = test::nat_network("lan", "203.0.113.240/28");
    EXPECT_EQ(refusal([&] { plan("203.0.113.16-203.0.113.19"); }), ErrorCode::in_use);
}

NetworkRecord with_grants(const char* lines, const char* subnet = "203.0.113.0/24") {
    NetworkCreate call = on_bridge("br0");
    if (*subnet != '\0') {
        call.subnet = Cidr::parse(subnet);
    }
    NetworkRecord network = network_record(call);
    plan_bridge(network, parse_net_grants(std::string("1 prefix cap-\n1 tap br0 9\n") + lines),
                bridge_link("br0"), {});
    return network;
}

TEST(NetworkPlan, TakesTheFirstGrantThatHasRoomInTheSubnet) {
    EXPECT_EQ(
        with_grants("1 ip br0 198.51.100.0/24\n1 ip br0 203.0.113.0/32\n1 ip br0 203.0.113.64/26\n").range,
        IpRange::parse("203.0.113.64-203.0.113.127"));
    EXPECT_EQ(with_grants("1 ip br0 203.0.113.0/28\n").range, IpRange::parse("203.0.113.1-203.0.113.15"));
    EXPECT_EQ(with_grants("1 ip br0 203.0.113.192/26\n").range,
              IpRange::parse("203.0.113.192-203.0.113.254"));
    EXPECT_EQ(with_grants("1 ip br0 0.0.0.0/0\n").range, IpRange::parse("203.0.113.1-203.0.113.254"));
    EXPECT_EQ(refusal([] { with_grants("1 ip br0 203.0.113.255/32\n"); }), ErrorCode::denied);
}

TEST(NetworkPlan, NeedsEveryAddressWhereSomebodyElseGivesThemOut) {
    EXPECT_NO_THROW(with_grants("1 ip br0 0.0.0.0/0\n", ""));
    EXPECT_EQ(refusal([] { with_grants("1 ip br0 0.0.0.0/1\n", ""); }), ErrorCode::denied);
    EXPECT_EQ(refusal([] { with_grants("1 ip br1 0.0.0.0/0\n", ""); }), ErrorCode::denied);
}

TEST(NetworkPlan, AllowsAnAddressOnABridgeByItsGrants) {
    const NetworkRecord network = bridged("pub", "203.0.113.16-203.0.113.31");
    EXPECT_NO_THROW(require_allowed(network, grants(), IpAddress::parse("203.0.113.31")));
    EXPECT_EQ(refusal([&] { require_allowed(network, grants(), IpAddress::parse("203.0.113.32")); }),
              ErrorCode::denied);
}

TEST(NetworkPlan, PassesOverAGrantWithoutRoomForANetwork) {
    NetworkRecord network = network_record(nat("lan"));
    plan_nat(network,
             parse_net_grants("1 prefix cap-\n1 bridge own 1\n1 nat own\n1 subnet own 10.80.0.0/32\n"
                              "1 subnet own 10.81.0.0/16\n"),
             {});
    EXPECT_EQ(network.subnet, Cidr::parse("10.81.0.0/24"));
}

TEST(NetworkPlan, RefusesABridgeThatIsNoneOrNotAllowed) {
    NetworkRecord network = network_record(on_bridge("br0"));
    EXPECT_EQ(refusal([&] { plan_bridge(network, grants(), std::nullopt, {}); }), ErrorCode::not_found);
    Link eth0 = bridge_link("br0");
    eth0.kind = "";
    EXPECT_EQ(refusal([&] { plan_bridge(network, grants(), eth0, {}); }), ErrorCode::not_found);
    network = network_record(on_bridge("br1"));
    EXPECT_EQ(refusal([&] { plan_bridge(network, grants(), bridge_link("br1"), {}); }), ErrorCode::denied);
}

TEST(InterfaceNames, AreReadableWhenTheyFitAndNeverCutShort) {
    EXPECT_EQ(interface_name("cap-", "web-0", {}).to_string(), "cap-web-0");
    EXPECT_EQ(interface_name("cap-", "elevenchars", {}).to_string(), "cap-elevenchars");
    const std::string longer = interface_name("cap-", "a-very-long-name-0", {}).to_string();
    EXPECT_LE(longer.size(), 15U);
    EXPECT_TRUE(longer.starts_with("cap-"));
    EXPECT_NE(longer, interface_name("cap-", "a-very-long-name-1", {}).to_string());
    EXPECT_NE(interface_name("cap-", "web-0", {"cap-web-0"}).to_string(), "cap-web-0");
    EXPECT_NE(interface_name("cap-", "a-very-long-name-0", {longer}).to_string(), longer);
}

} // namespace
} // namespace capsul
