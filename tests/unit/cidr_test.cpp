#include "lib/cidr.hpp"

#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(IpAddress, IsShownInCanonicalForm) {
    EXPECT_EQ(IpAddress::parse("192.0.2.7").to_string(), "192.0.2.7");
    EXPECT_EQ(IpAddress::parse("2001:DB8:0:0::7").to_string(), "2001:db8::7");
}

TEST(IpAddress, RefusesWhatIsNone) {
    for (const char* text : {"", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "fe80::1%eth0",
                             "::ffff:1.2.3.4", "[::1]", "1.2.3.4/8", "localhost", "1.2.3.4\n"}) {
        EXPECT_THROW(static_cast<void>(IpAddress::parse(text)), Error) << text;
    }
    EXPECT_THROW(static_cast<void>(IpAddress::parse(std::string_view("1.2.3.4\0", 8))), Error);
}

TEST(IpAddress, CountsOverByteBorders) {
    EXPECT_EQ(IpAddress::parse("10.0.0.255").plus(1).to_string(), "10.0.1.0");
    EXPECT_EQ(IpAddress::parse("10.0.0.0").plus(65536).to_string(), "10.1.0.0");
    EXPECT_EQ(IpAddress::parse("fd00::ffff").plus(1).to_string(), "fd00::1:0");
    EXPECT_EQ(IpAddress::parse("255.255.255.255").plus(1).to_string(), "0.0.0.0");
}

TEST(Cidr, RefusesHostBitsAndNamesTheSubnet) {
    try {
        static_cast<void>(Cidr::parse("10.80.0.1/24"));
        FAIL() << "was taken";
    } catch (const Error& error) {
        EXPECT_NE(error.hint().find("10.80.0.0/24"), std::string::npos) << error.hint();
    }
}

TEST(Cidr, RefusesWhatIsNone) {
    for (const char* text : {"10.80.0.0", "10.80.0.0/", "10.80.0.0/33", "10.80.0.0/-1", "10.80.0.0/ 8",
                             "fd00::/129", "/24", "10.80.0.0/24x", "10.80.0.0/0024x"}) {
        EXPECT_THROW(static_cast<void>(Cidr::parse(text)), Error) << text;
    }
}

TEST(Cidr, KnowsWhatIsInside) {
    const Cidr subnet = Cidr::parse("10.80.4.0/22");
    EXPECT_TRUE(subnet.contains(IpAddress::parse("10.80.7.255")));
    EXPECT_FALSE(subnet.contains(IpAddress::parse("10.80.8.0")));
    EXPECT_FALSE(subnet.contains(IpAddress::parse("::a50:400")));
    EXPECT_TRUE(subnet.contains(Cidr::parse("10.80.6.0/24")));
    EXPECT_FALSE(subnet.contains(Cidr::parse("10.80.0.0/16")));
    EXPECT_TRUE(subnet.overlaps(Cidr::parse("10.80.0.0/16")));
    EXPECT_FALSE(subnet.overlaps(Cidr::parse("10.80.8.0/24")));
    EXPECT_EQ(subnet.last().to_string(), "10.80.7.255");
}

TEST(Cidr, KnowsWhatAHostMayHave) {
    const Cidr subnet = Cidr::parse("192.0.2.0/24");
    EXPECT_FALSE(subnet.is_host(IpAddress::parse("192.0.2.0")));
    EXPECT_FALSE(subnet.is_host(IpAddress::parse("192.0.2.255")));
    EXPECT_TRUE(subnet.is_host(IpAddress::parse("192.0.2.254")));
    EXPECT_FALSE(subnet.is_host(IpAddress::parse("192.0.3.1")));
    EXPECT_TRUE(Cidr::parse("192.0.2.0/31").is_host(IpAddress::parse("192.0.2.0")));
    EXPECT_FALSE(Cidr::parse("fd00::/64").is_host(IpAddress::parse("fd00::")));
    EXPECT_TRUE(Cidr::parse("fd00::/64").is_host(IpAddress::parse("fd00::ffff:ffff:ffff:ffff")));
}

TEST(IpRange, CoversTheHostsOfASubnet) {
    EXPECT_EQ(IpRange::hosts_of(Cidr::parse("192.0.2.0/24")).to_string(), "192.0.2.1-192.0.2.254");
    EXPECT_EQ(IpRange::hosts_of(Cidr::parse("192.0.2.4/31")).to_string(), "192.0.2.4-192.0.2.5");
    EXPECT_EQ(IpRange::hosts_of(Cidr::parse("192.0.2.4/32")).to_string(), "192.0.2.4-192.0.2.4");
    EXPECT_EQ(IpRange::hosts_of(Cidr::parse("fd00::/126")).to_string(), "fd00::1-fd00::3");
}

TEST(IpRange, RefusesAnEndBeforeItsBeginning) {
    EXPECT_THROW(static_cast<void>(IpRange::parse("10.0.0.9-10.0.0.8")), Error);
    EXPECT_THROW(static_cast<void>(IpRange::parse("10.0.0.9-fd00::1")), Error);
    EXPECT_THROW(static_cast<void>(IpRange::parse("10.0.0.9")), Error);
    EXPECT_EQ(IpRange::parse("10.0.0.9-10.0.0.9").to_string(), "10.0.0.9-10.0.0.9");
}

} // namespace
} // namespace capsul
