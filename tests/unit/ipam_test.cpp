#include "daemon/ipam.hpp"

#include "lib/error.hpp"
#include "tests/network_records.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

IpAddress ip(const char* text) {
    return IpAddress::parse(text);
}

Name vm(const char* text) {
    return Name::parse(text);
}

NetworkRecord small_network() {
    return test::nat_network("lan", "10.80.0.0/29"); // hosts .1 to .6
}

ErrorCode refusal(const NetworkRecord& network, const char* address, const TakenAddresses& taken = {}) {
    try {
        check_address(network, ip(address), vm("web"), taken);
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << address << " was taken";
    return ErrorCode::internal;
}

TEST(Ipam, GivesTheFirstFreeAddressButTheGateway) {
    EXPECT_EQ(pick_address(small_network(), false, vm("web"), {}), ip("10.80.0.2"));
    EXPECT_EQ(pick_address(small_network(), false, vm("web"), {{ip("10.80.0.2"), Holder(vm("db"))}}),
              ip("10.80.0.3"));
}

TEST(Ipam, KeepsAReservedAddressForItsVm) {
    NetworkRecord network = small_network();
    network.reservations = {{ip("10.80.0.2"), vm("db")}};
    EXPECT_EQ(pick_address(network, false, vm("web"), {}), ip("10.80.0.3"));
    EXPECT_EQ(pick_address(network, false, vm("db"), {}), ip("10.80.0.2"));
}

TEST(Ipam, SaysWhenNothingIsLeft) {
    TakenAddresses taken;
    for (int i = 2; i <= 6; ++i) {
        taken.emplace(ip("10.80.0.0").plus(static_cast<std::uint64_t>(i)), Holder(vm("db")));
    }
    EXPECT_THROW(static_cast<void>(pick_address(small_network(), false, vm("web"), taken)), Error);
}

TEST(Ipam, EndsAtTheEndOfTheAddressSpace) {
    NetworkRecord network = small_network();
    network.subnet = Cidr::parse("255.255.255.254/31");
    network.gateway.reset();
    const TakenAddresses taken{{ip("255.255.255.254"), Holder(vm("a"))},
                               {ip("255.255.255.255"), Holder(vm("b"))}};
    EXPECT_THROW(static_cast<void>(pick_address(network, false, vm("web"), taken)), Error);
}

TEST(Ipam, GivesNoneOfAFamilyThatTheNetworkLacks) {
    EXPECT_EQ(pick_address(small_network(), true, vm("web"), {}), std::nullopt);
}

TEST(Ipam, StaysInsideTheRange) {
    NetworkRecord network = small_network();
    network.range = IpRange::parse("10.80.0.5-10.80.0.5");
    EXPECT_EQ(pick_address(network, false, vm("web"), {}), ip("10.80.0.5"));
    EXPECT_THROW(
        static_cast<void>(pick_address(network, false, vm("web"), {{ip("10.80.0.5"), Holder(vm("db"))}})),
        Error);
}

TEST(Ipam, RefusesWhatAVmMayNotHave) {
    NetworkRecord network = small_network();
    network.reservations = {{ip("10.80.0.3"), vm("db")}};
    EXPECT_EQ(refusal(network, "10.81.0.2"), ErrorCode::invalid);
    EXPECT_EQ(refusal(network, "10.80.0.0"), ErrorCode::invalid);
    EXPECT_EQ(refusal(network, "10.80.0.7"), ErrorCode::invalid);
    EXPECT_EQ(refusal(network, "10.80.0.1"), ErrorCode::invalid);
    EXPECT_EQ(refusal(network, "fd00::2"), ErrorCode::invalid);
    EXPECT_EQ(refusal(network, "10.80.0.3"), ErrorCode::in_use);
    EXPECT_EQ(refusal(network, "10.80.0.4", {{ip("10.80.0.4"), Holder(vm("db"))}}), ErrorCode::in_use);
    EXPECT_NO_THROW(check_address(network, ip("10.80.0.3"), vm("db"), {}));
}

TEST(Ipam, TellsWhoseAnAddressIsAndWhatIsLeft) {
    const TakenAddresses taken{{ip("10.80.0.2"), Holder("is this host's own")},
                               {ip("10.80.0.3"), Holder(vm("db"))}};
    EXPECT_EQ(pick_address(small_network(), false, vm("web"), taken), ip("10.80.0.4"));
    try {
        check_address(small_network(), ip("10.80.0.2"), vm("web"), taken);
        FAIL() << "was taken";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::in_use);
        EXPECT_STREQ(error.what(), "network lan: 10.80.0.2 is this host's own");
        EXPECT_EQ(error.hint(), "choose another of 10.80.0.1-10.80.0.6; `capsulctl network leases lan` shows "
                                "those that VMs have");
    }
    EXPECT_NO_THROW(check_address(small_network(), ip("10.80.0.3"), vm("db"), taken));
}

TEST(Ipam, RefusesAddressingThatDoesNotFit) {
    const auto refused = [](auto change) {
        NetworkRecord network = small_network();
        change(network);
        EXPECT_THROW(check_addressing(network), Error);
    };
    EXPECT_NO_THROW(check_addressing(small_network()));
    refused([](auto& n) { n.gateway = ip("10.80.0.7"); });
    refused([](auto& n) { n.gateway = ip("10.81.0.1"); });
    refused([](auto& n) { n.gateway = ip("fd00::1"); });
    refused([](auto& n) { n.range = IpRange::parse("10.80.0.2-10.80.0.7"); });
    refused([](auto& n) { n.range = IpRange::parse("10.80.0.0-10.80.0.3"); });
    refused([](auto& n) { n.range = IpRange::parse("10.79.0.1-10.80.0.3"); });
    refused([](auto& n) { n.subnet = Cidr::parse("10.80.0.1/32"); });
    refused([](auto& n) { n.subnet = Cidr::parse("fd00::/64"); });
    refused([](auto& n) { n.subnet.reset(); });
    refused([](auto& n) { n.gateway6 = ip("fd00::1"); });
}

} // namespace
} // namespace capsul
