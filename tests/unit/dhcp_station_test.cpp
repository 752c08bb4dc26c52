#include "daemon/dhcp/station.hpp"

#include "tests/unit/dhcp_bytes.hpp"

#include <gtest/gtest.h>
#include <string>

namespace capsul::dhcp {
namespace {

const Mac own_mac{0x02, 0, 0, 0, 0xff, 0x01};

/// 10.90.4.2, fd90::a5a:402 and fe80::ff:fe00:ff01.
Station resolver() {
    return {own_mac,
            {{AF_INET, {10, 90, 4, 2}, 20},
             {AF_INET6, {0xfd, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0x5a, 4, 2}, 64},
             link_local_of(own_mac)}};
}

const std::string own = "02000000ff01";
const std::string own4 = "0a5a0402";
const std::string own6 = "fd90000000000000 000000000a5a0402";
const std::string own_local = "fe80000000000000 000000fffe00ff01";
const std::string guest6 = "fd90000000000000 000000fffe00000a";

std::string udp4(const std::string& mac, const std::string& to, const std::string& ports) {
    return mac + guest + "0800 45000020 00000000 40110000 0a5a0403" + to + ports + "000c 0000 01010600";
}

std::string udp6(const std::string& mac, const std::string& to, const std::string& ports) {
    return mac + guest + "86dd 60000000 000c 11 40" + guest6 + to + ports + "000c 0000 01010600";
}

std::string icmp6(const std::string& mac, const std::string& to, const std::string& type) {
    return mac + guest + "86dd 60000000 0018 3a ff" + guest6 + to + type + "00 0000 00000000" + own6;
}

std::string arp(const std::string& mac) {
    return mac + guest + "0806 0001 0800 06 04 0001" + guest + "0a5a0403 000000000000" + own4;
}

bool comes_in(const std::string& text) {
    return is_for(hex(text), resolver());
}

const std::string dns = "c000 0035";
const std::string dhcp = "0044 0043";
const std::string dhcp6 = "0222 0223";

TEST(DhcpStation, HasTheLinkLocalAddressOfItsMac) {
    EXPECT_EQ(link_local_of(own_mac),
              (Prefix{AF_INET6, {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0xff, 1}, 64}));
}

TEST(DhcpStation, HearsWhatIsSentToItsAddresses) {
    EXPECT_TRUE(comes_in(udp4(own, own4, dns)));
    EXPECT_TRUE(comes_in(udp6(own, own6, dns)));
    EXPECT_TRUE(comes_in(udp6(own, own_local, dns)));
    EXPECT_TRUE(comes_in(udp4(own, own4, dhcp))); // a lease that is renewed
    EXPECT_TRUE(comes_in(icmp6(own, own6, "80")));
}

TEST(DhcpStation, HearsWhoAsksForItsMac) {
    EXPECT_TRUE(comes_in(arp(to_all)));
    EXPECT_TRUE(comes_in(arp(own)));
    EXPECT_TRUE(comes_in(icmp6("3333ff5a0402", "ff02000000000000 00000001ff5a0402", "87")));
    EXPECT_TRUE(comes_in(icmp6("3333ff00ff01", "ff02000000000000 00000001ff00ff01", "87")));
    EXPECT_TRUE(comes_in(icmp6("333300000001", "ff02000000000000 0000000000000001", "88")));
    EXPECT_TRUE(comes_in(icmp6(own, own6, "87")));
}

TEST(DhcpStation, HearsWhoLooksForServersAndRouters) {
    EXPECT_TRUE(comes_in(udp4(to_all, "ffffffff", dhcp)));
    EXPECT_TRUE(comes_in(udp6("333300010002", "ff02000000000000 0000000000010002", dhcp6)));
    EXPECT_TRUE(comes_in(icmp6("333300000002", "ff02000000000000 0000000000000002", "85")));
}

TEST(DhcpStation, HearsNothingThatIsForOthers) {
    const std::string other = "02000000000b";
    for (const std::string& frame :
         {udp4(other, own4, dns), udp6(other, own6, dns), arp(other), udp4(to_all, "ffffffff", dns),
          udp4(to_all, "0a5a0fff", dns), udp4("01005e0000fb", "e00000fb", "14e9 14e9"),
          udp6("3333000000fb", "ff02000000000000 00000000000000fb", "14e9 14e9"),
          icmp6("3333ff00000a", "ff02000000000000 00000001ff00000a", "87"),
          icmp6("333300000016", "ff02000000000000 0000000000000016", "8f")}) {
        EXPECT_FALSE(comes_in(frame)) << frame;
    }
}

TEST(DhcpStation, HasNothingToForward) {
    EXPECT_FALSE(comes_in(udp4(own, "0a5a0404", dns)));
    EXPECT_FALSE(comes_in(udp6(own, guest6, dns)));
}

TEST(DhcpStation, IsToldNoRoutes) {
    for (const char* type : {"86", "89"}) {
        EXPECT_FALSE(comes_in(icmp6("333300000001", "ff02000000000000 0000000000000001", type))) << type;
        EXPECT_FALSE(comes_in(icmp6(own, own_local, type))) << type;
    }
}

TEST(DhcpStation, HearsNeitherItselfNorAGroup) {
    for (std::string frame : {udp4(own, own4, dns), arp(to_all)}) {
        EXPECT_FALSE(comes_in(frame.replace(12, 12, own)));
        EXPECT_FALSE(comes_in(frame.replace(12, 12, "03000000000a")));
    }
}

TEST(DhcpStation, HearsNothingBehindAVlanTag) {
    EXPECT_FALSE(comes_in(own + guest + "8100 0001" + udp4("", "", "").substr(12)));
}

TEST(DhcpStation, IsNotUpsetByWhatIsCutOff) {
    for (const std::string& whole :
         {udp4(own, own4, dns), udp6(own, own6, dns), arp(to_all), icmp6(own, own_local, "86")}) {
        const Bytes frame = hex(whole);
        for (std::size_t size = 0; size < frame.size(); ++size) {
            // A copy, so that a sanitizer sees a look behind the end.
            const Bytes part(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
            static_cast<void>(is_for(part, resolver()));
            EXPECT_FALSE(is_from(part, resolver())) << size;
        }
    }
}

TEST(DhcpStation, HasNoGroupsOfAFamilyThatItHasNot) {
    Station only4 = resolver();
    only4.addresses.resize(1);
    EXPECT_TRUE(is_for(hex(udp4(own, own4, dns)), only4));
    EXPECT_FALSE(is_for(hex(udp6(own, own6, dns)), only4));
    EXPECT_FALSE(is_for(hex(icmp6("3333ff5a0402", own6, "87")), only4));
}

TEST(DhcpStation, SaysWhatComesFromItsMac) {
    std::string frame = udp4(guest, "0a5a0403", "0035 c000");
    EXPECT_FALSE(is_from(hex(frame), resolver()));
    EXPECT_TRUE(is_from(hex(frame.replace(12, 12, own)), resolver()));
}

} // namespace
} // namespace capsul::dhcp
