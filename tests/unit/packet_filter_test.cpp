#include "daemon/packet_filter.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(PacketFilter, IsKnownFromWhatTheHelperLists) {
    const FilterFacts facts = parse_filter_facts(
        "bridge cap-lan addresses=10.80.0.1/24 egress=full isolated=no\n"
        "tap cap-a bridge=cap-lan mac=02:00:00:00:00:01 locked=yes isolated=no ips=10.80.0.2\n"
        "tap cap-b bridge=cap-lan mac=02:00:00:00:00:02 locked=yes isolated=no ips=-\n"
        "trunk cap-t bridge=cap-lan isolated=no learning=no\n");
    EXPECT_EQ(facts.bridges.at("cap-lan"), "full no");
    EXPECT_EQ(facts.ips_of("cap-a"), "10.80.0.2");
    EXPECT_EQ(facts.ips_of("cap-b"), "-");
    EXPECT_EQ(facts.ips_of("cap-t"), "?");
    EXPECT_FALSE(facts.says("off") || facts.says("?"));
}

TEST(PacketFilter, IsOffOrUnknownAsTheHelperSays) {
    EXPECT_TRUE(parse_filter_facts("bridge cap-lan addresses=- egress=off isolated=off\n").says("off"));
    EXPECT_TRUE(parse_filter_facts("tap cap-a bridge=- locked=yes isolated=no ips=?\n").says("?"));
    EXPECT_FALSE(parse_filter_facts("").says("off"));
}

} // namespace
} // namespace capsul
