#include "daemon/dhcp/frames.hpp"

#include "tests/unit/dhcp_bytes.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <string>

namespace capsul::dhcp {
namespace {

const Mac bridge_mac{0x02, 0, 0, 0, 0xff, 0x01};
const Mac guest_mac{0x02, 0, 0, 0, 0, 0x0a};

Server dual_server() {
    return {bridge_mac, Ip4{10, 80, 0, 1},
            Ip6{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0xff, 1}};
}

const std::string bridge = "02000000ff01";
// From 0.0.0.0 to 255.255.255.255, and a header of UDP with 4 bytes behind it.
const std::string nobody_to_all4 = "0800 45000020 00000000 40110000 00000000 ffffffff";
const std::string discover = to_all + guest + nobody_to_all4 + "0044 0043 000c 0000 01010600";
const std::string offer =
    guest + bridge + "0800 45000020 00000000 40110000 0a500001 0a50000a" + "0043 0044 000c 0000 02010600";
const std::string guest_local = "fe80000000000000 000000fffe00000a";
const std::string bridge_local = "fe80000000000000 000000fffe00ff01";
const std::string solicit6 = "333300010002" + guest + "86dd 60000000 000c 11 01" + guest_local +
                             "ff02000000000000 0000000000010002 0222 0223 000c 0000 01000000";
const std::string reply6 =
    guest + bridge + "86dd 60000000 000c 11 40" + bridge_local + guest_local + "0223 0222 000c 0000 07000000";
const std::string find_router = "333300000002" + guest + "86dd 60000000 0008 3a ff" + guest_local +
                                "ff02000000000000 0000000000000002 8500 0000 00000000";
const std::string router = "333300000001" + bridge + "86dd 60000000 0010 3a ff" + bridge_local +
                           "ff02000000000000 0000000000000001 8600 0000 40c00708 00000000 00000000";

std::string replaced(std::string text, std::size_t byte, const std::string& with) {
    std::erase(text, ' ');
    return text.replace(byte * 2, with.size(), with);
}

bool passes_in(const std::string& text) {
    return is_request(hex(text), dual_server());
}

bool passes_out(const std::string& text) {
    return is_answer(hex(text), dual_server());
}

TEST(DhcpFrames, PassesRequestsIn) {
    EXPECT_TRUE(passes_in(discover));
    EXPECT_TRUE(passes_in(solicit6));
    EXPECT_TRUE(passes_in(find_router));
    EXPECT_TRUE(passes_in(discover + "000000000000")); // padding
}

TEST(DhcpFrames, PassesAnswersOut) {
    EXPECT_TRUE(passes_out(offer));
    EXPECT_TRUE(passes_out(reply6));
    EXPECT_TRUE(passes_out(router));
}

TEST(DhcpFrames, PassesNothingTheWrongWay) {
    for (const std::string& answer : {offer, reply6, router}) {
        EXPECT_FALSE(passes_in(replaced(answer, 6, guest))) << answer;
    }
    for (const std::string& request : {discover, solicit6, find_router}) {
        EXPECT_FALSE(passes_out(replaced(request, 6, bridge))) << request;
    }
}

TEST(DhcpFrames, PassesInNothingInTheNameOfTheBridgeOrOfAGroup) {
    EXPECT_FALSE(passes_in(replaced(discover, 6, bridge)));
    EXPECT_FALSE(passes_in(replaced(discover, 6, "03000000000a")));
    EXPECT_FALSE(passes_in(replaced(find_router, 6, bridge)));
}

TEST(DhcpFrames, PassesOutOnlyInTheNameOfTheBridge) {
    EXPECT_FALSE(passes_out(replaced(offer, 6, guest)));
    EXPECT_FALSE(passes_out(replaced(router, 6, guest)));
}

TEST(DhcpFrames, PassesOutOnlyFromTheBridgesOwnAddress) {
    EXPECT_FALSE(passes_out(replaced(offer, 26, "0a500002")));
    EXPECT_FALSE(passes_out(replaced(reply6, 22, "fd80")));
    EXPECT_FALSE(passes_out(replaced(router, 37, "02")));
}

TEST(DhcpFrames, PassesNothingElse) {
    const std::string arp =
        to_all + guest + "0806 0001 0800 06 04 0001" + guest + "0a50000a 000000000000 0a500001";
    const std::string solicitation = "3333ff00ff01" + guest + "86dd 60000000 0018 3a ff" + guest_local +
                                     bridge_local + "8700 0000 00000000" + bridge_local;
    for (const std::string& frame :
         {arp, solicitation, replaced(discover, 36, "0035"), replaced(discover, 34, "0045"),
          replaced(discover, 23, "06"), replaced(solicit6, 20, "06"), replaced(find_router, 54, "88")}) {
        EXPECT_FALSE(passes_in(frame)) << frame;
        EXPECT_FALSE(passes_out(replaced(frame, 6, bridge))) << frame;
    }
}

TEST(DhcpFrames, RefusesWhatIsCutOff) {
    for (const std::string& whole : {discover, solicit6, find_router}) {
        const Bytes frame = hex(whole);
        for (std::size_t size = 0; size < frame.size(); ++size) {
            // A copy, so that a sanitizer sees a look behind the end.
            const Bytes part(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(size));
            EXPECT_FALSE(is_request(part, dual_server())) << size;
            EXPECT_FALSE(is_answer(part, dual_server())) << size;
            static_cast<void>(introduction(part, dual_server()));
        }
    }
}

TEST(DhcpFrames, RefusesWhatLiesAboutItsLength) {
    EXPECT_FALSE(passes_in(replaced(discover, 16, "0021")));    // IPv4: more than there is
    EXPECT_FALSE(passes_in(replaced(discover, 16, "0013")));    // less than a header
    EXPECT_FALSE(passes_in(replaced(discover, 16, "001b")));    // no room for UDP
    EXPECT_FALSE(passes_in(replaced(discover, 14, "44")));      // a header of 16 bytes
    EXPECT_FALSE(passes_in(replaced(discover, 14, "4f")));      // of 60
    EXPECT_FALSE(passes_in(replaced(discover, 14, "65")));      // IPv6 in IPv4's place
    EXPECT_FALSE(passes_in(replaced(discover, 38, "000d")));    // UDP: more than there is
    EXPECT_FALSE(passes_in(replaced(discover, 38, "0007")));    // less than a header
    EXPECT_FALSE(passes_in(replaced(solicit6, 18, "000d")));    // IPv6: more than there is
    EXPECT_FALSE(passes_in(replaced(solicit6, 18, "0000")));    // a jumbogram
    EXPECT_FALSE(passes_in(replaced(find_router, 18, "0007"))); // no whole message
}

TEST(DhcpFrames, RefusesFragments) {
    EXPECT_FALSE(passes_in(replaced(discover, 20, "2000")));
    EXPECT_FALSE(passes_in(replaced(discover, 20, "0001")));
    EXPECT_TRUE(passes_in(replaced(discover, 20, "4000"))); // "don't fragment"
    EXPECT_FALSE(passes_in(replaced(solicit6, 20, "2c")));
}

TEST(DhcpFrames, RefusesWhatIsHiddenBehindTagsAndHeaders) {
    EXPECT_FALSE(passes_in(to_all + guest + "8100 0001" + nobody_to_all4 + "0044 0043 000c 0000 01010600"));
    EXPECT_FALSE(passes_in(replaced(find_router, 20, "00"))); // hop-by-hop options
}

TEST(DhcpFrames, RefusesNeighbourDiscoveryFromBehindARouter) {
    EXPECT_FALSE(passes_in(replaced(find_router, 21, "fe")));
    EXPECT_FALSE(passes_out(replaced(router, 21, "40")));
}

TEST(DhcpFrames, KeepsAFamilyThatIsNotServedOut) {
    Server only4 = dual_server();
    only4.link_local.reset();
    EXPECT_TRUE(is_request(hex(discover), only4));
    EXPECT_FALSE(is_request(hex(solicit6), only4));
    EXPECT_TRUE(introduction(hex(solicit6), only4).empty());
    Server only6 = dual_server();
    only6.ip4.reset();
    EXPECT_FALSE(is_request(hex(discover), only6));
    EXPECT_TRUE(is_request(hex(find_router), only6));
    EXPECT_TRUE(is_answer(hex(router), only6));
    EXPECT_FALSE(is_answer(hex(offer), only6));
    EXPECT_FALSE(is_answer(hex(router), only4));
}

TEST(DhcpFrames, IntroducesNobodyWithoutAnAddress) {
    EXPECT_TRUE(introduction(hex(discover), dual_server()).empty());
    EXPECT_TRUE(introduction(hex(replaced(find_router, 22, std::string(32, '0'))), dual_server()).empty());
}

TEST(DhcpFrames, IntroducesAGuestByArp) {
    EXPECT_EQ(introduction(hex(replaced(discover, 26, "0a50000a")), dual_server()),
              hex(bridge + guest + "0806 0001 0800 06 04 0001" + guest + "0a50000a 000000000000 0a500001"));
}

TEST(DhcpFrames, IntroducesAGuestByNeighbourDiscovery) {
    EXPECT_EQ(introduction(hex(solicit6), dual_server()),
              hex(bridge + guest + "86dd 60000000 0020 3a ff" + guest_local + bridge_local +
                  "8700 7f09 00000000" + bridge_local + "0101" + guest));
}

} // namespace
} // namespace capsul::dhcp
