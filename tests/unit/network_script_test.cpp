#include "daemon/network_script.hpp"

#include "daemon/network_unit.hpp"
#include "daemon/shell.hpp"
#include "lib/error.hpp"
#include "tests/network_records.hpp"
#include "tests/unit/golden.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

const char* const helper = "/usr/libexec/capsul/capsul-net";

NetworkRecord lan() {
    return test::nat_network("lan", "10.80.0.0/24", "fd80::/64");
}

std::vector<TapPlan> taps() {
    return {{InterfaceName::parse("cap-web-0"),
             InterfaceName::parse("cap-lan"),
             Mac::parse("02:00:00:00:00:01"),
             {IpAddress::parse("10.80.0.2"), IpAddress::parse("fd80::2")},
             false,
             true},
            {InterfaceName::parse("cap-web-1"),
             InterfaceName::parse("br0"),
             Mac::parse("02:00:00:00:00:02"),
             {},
             true,
             false}};
}

TEST(ShellWord, ReachesTheProgramByteByByte) {
    EXPECT_EQ(quote_shell_word("plain"), "'plain'");
    EXPECT_EQ(quote_shell_word("it's $HOME `id` \\"), "'it'\\''s $HOME `id` \\'");
    EXPECT_THROW(static_cast<void>(quote_shell_word("a\nb")), Error);
    EXPECT_THROW(static_cast<void>(quote_shell_word(std::string_view("a\0b", 3))), Error);
}

TEST(NetworkScript, OfANatNetworkIsAsGolden) {
    NetworkRecord network = lan();
    expect_golden("network-nat-setup.sh", network_setup(network, helper));
    expect_golden("network-nat-teardown.sh", network_teardown(network, helper));
    network.isolate = true;
    network.egress = Egress::parse("192.0.2.0/24,[2001:db8::/32]:8000-8099/udp");
    expect_golden("network-nat-isolated-setup.sh", network_setup(network, helper));
}

TEST(NetworkScript, OfABridgeNetworkOnlyWaitsForIt) {
    const NetworkRecord network = test::bridge_network("public", "br0");
    expect_golden("network-bridge-setup.sh", network_setup(network, helper));
    expect_golden("network-bridge-teardown.sh", network_teardown(network, helper));
}

TEST(NetworkScript, OfTapsIsAsGolden) {
    const Name web = Name::parse("web");
    const std::vector<InterfaceName> gone{InterfaceName::parse("cap-web-2")};
    expect_golden("tap-setup.sh", tap_setup(web, taps(), gone, helper));
    expect_golden("tap-teardown.sh", tap_teardown(web, taps(), gone, helper));
}

TEST(NetworkScript, OfTapsIsReadBackTheSame) {
    const auto read =
        read_tap_setup(tap_setup(Name::parse("web"), taps(), {InterfaceName::parse("cap-web-2")}, helper));
    EXPECT_EQ(read, taps());
    EXPECT_TRUE(read_tap_setup("").empty());
}

TEST(NetworkUnit, IsAsGolden) {
    NetworkRecord network = lan();
    expect_golden("capsul-net-lan.service", network_unit(network, "/home/alice/networks/lan"));
    network.name = Name::parse("public");
    expect_golden("capsul-net-public.service", network_unit(network, "/home/alice/networks/public"));
    network.name = Name::parse("office");
    network.dhcp = true;
    expect_golden("capsul-net-office.service", network_unit(network, "/home/alice/networks/office"));
    expect_golden(
        "capsul-tap-web.service",
        tap_unit(Name::parse("web"), {Name::parse("lan"), Name::parse("public")}, {}, "/home/alice/vms/web"));
}

} // namespace
} // namespace capsul
