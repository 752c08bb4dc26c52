// The text of /etc/capsul/net.policy, as capsul-net judges it.
#include "daemon/nethelper/policy.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <string>

namespace capsul::nethelper {
namespace {

constexpr const char* good = "# uid  kind    what   value\n"
                             "\n"
                             "994    prefix  cap-\n"
                             "994    bridge  own    16\n"
                             "994    tap     br0    64\n"
                             "994\ttap\town\t512\n"
                             "994    ip      br0    203.0.113.16/28\n"
                             "994    ip      br0    2001:db8::/64\n"
                             "994    subnet  own    10.80.0.0/16\n"
                             "994    nat     own\n"
                             "1000   prefix  capa-\n"
                             "1000   tap     br0    1\n";

struct ParsedPolicy {
    std::unique_ptr<Policy> policy = std::make_unique<Policy>();
    std::string text;
    std::optional<PolicyProblem> problem;
};

ParsedPolicy parse(const std::string& text) {
    ParsedPolicy parsed;
    parsed.text = text;
    parsed.problem = parsed.policy->parse(parsed.text);
    return parsed;
}

/// What is wrong with the file when `line` is added to a good one; empty when nothing is.
std::string complaint(const std::string& line) {
    const ParsedPolicy parsed = parse("994 prefix cap-\n" + line + "\n");
    return parsed.problem ? parsed.problem->what : "";
}

Cidr cidr(std::string_view text) {
    return parse_cidr(text).value();
}

TEST(NetPolicy, GivesWhatItsLinesSay) {
    const ParsedPolicy parsed = parse(good);
    ASSERT_FALSE(parsed.problem) << parsed.problem->line << parsed.problem->what;
    const Policy& policy = *parsed.policy;
    ASSERT_NE(policy.prefix_of(994), nullptr);
    EXPECT_EQ(policy.prefix_of(994)->view(), "cap-");
    EXPECT_EQ(policy.quota(994, Grant::bridge, "own"), 16U);
    EXPECT_EQ(policy.quota(994, Grant::tap, "br0"), 64U);
    EXPECT_EQ(policy.quota(994, Grant::tap, "own"), 512U);
    EXPECT_TRUE(policy.covers(994, Grant::ip, "br0", cidr("203.0.113.17/32")));
    EXPECT_TRUE(policy.covers(994, Grant::ip, "br0", cidr("2001:db8::5/128")));
    EXPECT_TRUE(policy.covers(994, Grant::subnet, "own", cidr("10.80.7.1/24")));
    EXPECT_TRUE(policy.allows_nat(994));
}

TEST(NetPolicy, GivesNothingElse) {
    const ParsedPolicy parsed = parse(good);
    const Policy& policy = *parsed.policy;
    EXPECT_EQ(policy.prefix_of(995), nullptr);
    EXPECT_EQ(policy.quota(994, Grant::tap, "br1"), 0U);
    EXPECT_EQ(policy.quota(1000, Grant::tap, "own"), 0U);
    EXPECT_FALSE(policy.covers(994, Grant::ip, "br0", cidr("203.0.113.15/32")));
    EXPECT_FALSE(policy.covers(994, Grant::ip, "br1", cidr("203.0.113.17/32")));
    EXPECT_FALSE(policy.covers(994, Grant::subnet, "own", cidr("10.80.0.1/15")));
    EXPECT_FALSE(policy.covers(994, Grant::subnet, "own", cidr("::ffff:10.80.0.1/128")));
    EXPECT_FALSE(policy.covers(1000, Grant::ip, "br0", cidr("203.0.113.17/32")));
    EXPECT_FALSE(policy.allows_nat(1000));
}

TEST(NetPolicy, KeepsTheLinesOfARule) {
    const ParsedPolicy parsed = parse("994 prefix cap-\n994 nat own\n");
    ASSERT_EQ(std::distance(parsed.policy->begin(), parsed.policy->end()), 2);
    EXPECT_EQ((parsed.policy->begin() + 1)->line, "994 nat own");
}

TEST(NetPolicy, OneBadLineRefusesTheWholeFile) {
    const ParsedPolicy parsed = parse(std::string(good) + "994 tap br1 many\n");
    ASSERT_TRUE(parsed.problem);
    EXPECT_EQ(parsed.problem->line, 13U);
}

TEST(NetPolicy, RefusesAUserThatIsNoNumber) {
    for (const char* uid :
         {"capsul", "0", "-1", "+994", "0994", "4294967295", "4294967296", "99 4", "994,"}) {
        EXPECT_NE(complaint(std::string(uid) + " nat own"), "") << uid;
    }
}

TEST(NetPolicy, RefusesUnknownKindsAndWrongNumbersOfWords) {
    for (const char* line :
         {"994", "994 nat", "994 nat own yes", "994 tap br0", "994 tap br0 8 9", "994 NAT own",
          "994 tun br0 8", "994 tap br0 8 # comment", "994 prefix", "994 bridge own"}) {
        EXPECT_NE(complaint(line), "") << line;
    }
}

TEST(NetPolicy, RefusesPrefixesThatTheRulesDoNotSee) {
    for (const char* prefix :
         {"ca", "eth", "Cap-", "cap_", "cap.", "xcap", "cap-twelve-12", "cap%n", "cap/"}) {
        EXPECT_TRUE(parse(std::string("994 prefix ") + prefix + "\n").problem) << prefix;
    }
    EXPECT_FALSE(parse("994 prefix cap\n").problem);
    EXPECT_FALSE(parse("994 prefix cap-eleven1\n").problem);
}

TEST(NetPolicy, RefusesAPrefixThatBeginsAnother) {
    EXPECT_NE(complaint("995 prefix cap-"), "");
    EXPECT_NE(complaint("995 prefix cap-b"), "");
    EXPECT_NE(complaint("995 prefix cap"), "");
    EXPECT_NE(complaint("994 prefix capx"), "") << "two prefixes of one user";
    EXPECT_EQ(complaint("995 prefix capb"), "");
}

TEST(NetPolicy, RefusesAUserWithoutAPrefix) {
    EXPECT_NE(complaint("995 nat own"), "");
}

TEST(NetPolicy, RefusesBridgesOfWrongNames) {
    for (const char* bridge :
         {"cap-x", "cap", ".", "..", "br/0", "sixteen-letters-", "br\xc3\xa9", "br0%s"}) {
        EXPECT_NE(complaint(std::string("994 tap ") + bridge + " 8"), "") << bridge;
    }
    EXPECT_EQ(complaint("994 tap vmbr0.12_A-b 8"), "");
    EXPECT_NE(complaint("994 bridge br0 8"), "");
    EXPECT_NE(complaint("994 subnet br0 10.0.0.0/8"), "");
    EXPECT_NE(complaint("994 ip own 10.0.0.0/8"), "");
    EXPECT_NE(complaint("994 nat br0"), "");
}

TEST(NetPolicy, RefusesNumbersThatAreNone) {
    for (const char* number : {"-1", "1e3", "65536", "99999999999", "8x", "0x8", "08"}) {
        EXPECT_NE(complaint(std::string("994 tap br0 ") + number), "") << number;
    }
    EXPECT_EQ(complaint("994 tap br0 0"), "");
}

TEST(NetPolicy, RefusesANumberGivenTwice) {
    EXPECT_NE(complaint("994 tap br0 8\n994 tap br0 9"), "");
    EXPECT_NE(complaint("994 bridge own 8\n994 bridge own 8"), "");
    EXPECT_EQ(complaint("994 tap br0 8\n994 tap br1 9\n994 tap own 9\n994 bridge own 9"), "");
}

TEST(NetPolicy, RefusesNetworksThatAreNone) {
    for (const char* network :
         {"10.0.0.0", "10.0.0.0/33", "10.0.0.1/24", "10.0.0/24", "2001:db8::/129", "fe80::1%eth0/64",
          "010.0.0.0/8", "10.0.0.0/08", "10.0.0.0/24/24", "2001:db8::1/64", "/24", "any"}) {
        EXPECT_NE(complaint(std::string("994 subnet own ") + network), "") << network;
    }
    EXPECT_EQ(complaint("994 subnet own 0.0.0.0/0"), "");
    EXPECT_EQ(complaint("994 ip br0 2001:db8::1/128"), "");
}

TEST(NetPolicy, RefusesAFileWithoutItsEnd) {
    EXPECT_TRUE(parse("").problem);
    EXPECT_TRUE(parse("994 prefix cap-").problem);
    EXPECT_TRUE(parse("994 prefix cap-\n994 tap br0 1").problem) << "it may have been 16";
    EXPECT_FALSE(parse("\n").problem);
}

TEST(NetPolicy, RefusesBytesThatAreNoText) {
    EXPECT_TRUE(parse(std::string("994 prefix cap-\n#\0\n", 19)).problem);
    EXPECT_NE(complaint("994 tap br0 8\r"), "");
    EXPECT_NE(complaint("994 tap\vbr0 8"), "");
    EXPECT_TRUE(parse("\xef\xbb\xbf"
                      "994 prefix cap-\n")
                    .problem);
}

TEST(NetPolicy, RefusesTooMuch) {
    EXPECT_TRUE(parse(std::string(max_policy_bytes, '\n') + "\n").problem);
    EXPECT_FALSE(parse(std::string(max_policy_bytes, '\n')).problem);
    std::string many = "994 prefix cap-\n";
    for (int i = 0; i < 1023; ++i) {
        many += "994 nat own\n";
    }
    EXPECT_FALSE(parse(many).problem);
    EXPECT_TRUE(parse(many + "994 nat own\n").problem);
}

} // namespace
} // namespace capsul::nethelper
