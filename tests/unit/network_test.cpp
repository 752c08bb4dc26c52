#include "lib/network.hpp"

#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(InterfaceName, RefusesWhatTheKernelOrAShellWouldNotTake) {
    for (const char* text : {"", "0eth", "a b", "a/b", "abcdefghijklmnop", "-a", ".", "..", "eth0\n", "é"}) {
        EXPECT_THROW(static_cast<void>(InterfaceName::parse(text)), Error) << text;
    }
    EXPECT_EQ(InterfaceName::parse("br-public.100").to_string(), "br-public.100");
}

TEST(Egress, IsReadBackTheSame) {
    for (const char* text : {"full", "none", "dns-icmp", "192.0.2.0/24", "192.0.2.7/32:443/tcp",
                             "10.0.0.0/8:8000-8099/udp,[2001:db8::/32]:53/udp,2001:db9::/48",
                             "10.0.0.0/8:80/tcp,10.0.0.0/8:80/udp,10.1.0.0/16:81/tcp", "::1/128,::1/128"}) {
        EXPECT_EQ(Egress::parse(text).to_string(), text);
    }
}

TEST(Egress, TakesAnAddressForASubnet) {
    EXPECT_EQ(Egress::parse("192.0.2.7,2001:db8::7,[2001:db8::8]:80/tcp").to_string(),
              "192.0.2.7/32,2001:db8::7/128,[2001:db8::8/128]:80/tcp");
}

TEST(Egress, RefusesWhatIsNone) {
    for (const char* text : {"",
                             "all",
                             "192.0.2.0/24,",
                             "192.0.2.1/24",
                             "192.0.2.0/24:443",
                             "192.0.2.0/24:443/icmp",
                             "192.0.2.0/24:",
                             "192.0.2.0/24:0/tcp",
                             "192.0.2.0/24:90-80/tcp",
                             "192.0.2.0/24:1-/tcp",
                             "[2001:db8::/32",
                             "[2001:db8::/32]443/tcp",
                             "[2001:db8::/32]:",
                             "192.0.2.0/24:70000/tcp",
                             "none,full",
                             "[::1]]",
                             "[::1]]:80/tcp",
                             "10.0.0.0/8,10.1.0.0/16",
                             "10.1.0.0/16,10.0.0.0/8:80/tcp",
                             "192.0.2.7:80-90/tcp,192.0.2.0/24:85-99/tcp"}) {
        EXPECT_THROW(static_cast<void>(Egress::parse(text)), Error) << text;
    }
}

TEST(NicSpec, IsReadFromText) {
    const NicSpec nic = NicSpec::from_text("lan,ip=10.80.0.9,mac=02:00:00:00:00:01,ip=fd80::9");
    EXPECT_EQ(nic.network.to_string(), "lan");
    EXPECT_EQ(nic.ip, IpAddress::parse("10.80.0.9"));
    EXPECT_EQ(nic.ip6, IpAddress::parse("fd80::9"));
    EXPECT_EQ(nic.mac, Mac::parse("02:00:00:00:00:01"));
}

TEST(NicSpec, RefusesWhatItDoesNotKnow) {
    for (const char* text :
         {"", "Lan", "lan,", "lan,ip", "lan,ip=", "lan,ip=x", "lan,ip=10.0.0.1,ip=10.0.0.2",
          "lan,mac=01:00:00:00:00:01", "lan,vlan=3", ",ip=10.0.0.1"}) {
        EXPECT_THROW(static_cast<void>(NicSpec::from_text(text)), Error) << text;
    }
}

TEST(NetworkUnit, NamesItsNetwork) {
    EXPECT_EQ(network_unit_name(Name::parse("lan")), "capsul-net-lan.service");
    EXPECT_EQ(network_of_unit("capsul-net-lan.service"), Name::parse("lan"));
    EXPECT_FALSE(network_of_unit("capsul-net-.service"));
    EXPECT_FALSE(network_of_unit("capsul-vm-lan.service"));
}

} // namespace
} // namespace capsul
