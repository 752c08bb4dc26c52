// The command line of capsul-net.
#include "daemon/nethelper/arguments.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace capsul::nethelper {
namespace {

struct Parsed {
    std::shared_ptr<Arguments> arguments = std::make_shared<Arguments>();
    std::string problem;
};

Parsed parse(const std::vector<std::string>& words) {
    std::vector<const char*> pointers;
    for (const std::string& word : words) {
        pointers.push_back(word.c_str());
    }
    Parsed parsed;
    const char* problem = parse_arguments(pointers, *parsed.arguments);
    parsed.problem = problem == nullptr ? "" : problem;
    return parsed;
}

Parsed parse_line(const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) {
        words.push_back(word);
    }
    return parse(words);
}

void expect_refused(const std::string& line) {
    EXPECT_NE(parse_line(line).problem, "") << line;
}

std::string text_of(const Address& address) {
    return to_text(address).data();
}

TEST(NetArguments, TakesATap) {
    const Parsed parsed =
        parse_line("tap-add cap-web1-0 br0 02:ab:CD:00:00:01 --ip 10.80.0.2 --isolated --ip fd00::2");
    ASSERT_EQ(parsed.problem, "");
    const Arguments& arguments = *parsed.arguments;
    EXPECT_EQ(arguments.operation, Operation::tap_add);
    EXPECT_EQ(arguments.name.view(), "cap-web1-0");
    EXPECT_EQ(arguments.bridge.view(), "br0");
    EXPECT_EQ(arguments.mac, (Mac{0x02, 0xab, 0xcd, 0, 0, 1}));
    EXPECT_TRUE(arguments.isolated);
    ASSERT_EQ(arguments.ips.size(), 2U);
    EXPECT_EQ(text_of(*arguments.ips.begin()), "10.80.0.2");
    EXPECT_EQ(text_of(*(arguments.ips.begin() + 1)), "fd00::2");
}

TEST(NetArguments, TakesTheRest) {
    EXPECT_EQ(parse_line("trunk-add cap-v1 cap-n1").arguments->operation, Operation::trunk_add);
    EXPECT_TRUE(parse_line("trunk-add cap-v1 cap-n1").arguments->learning);
    EXPECT_FALSE(parse_line("trunk-add --no-learning cap-v1 cap-n1").arguments->learning);
    EXPECT_FALSE(parse_line("trunk-add cap-v1 cap-n1").arguments->isolated);
    EXPECT_TRUE(parse_line("trunk-add cap-v1 cap-n1 --isolated").arguments->isolated);
    EXPECT_EQ(parse_line("tap-del cap-t1").arguments->operation, Operation::tap_del);
    EXPECT_EQ(parse_line("bridge-add cap-n1").arguments->operation, Operation::bridge_add);
    EXPECT_EQ(parse_line("bridge-del cap-n1").arguments->operation, Operation::bridge_del);
    EXPECT_EQ(parse_line("addr-add cap-n1 10.80.0.1/24").arguments->address.length, 24);
    EXPECT_EQ(parse_line("egress --isolated cap-n1 dns-icmp").arguments->egress, Egress::dns_icmp);
    EXPECT_EQ(parse_line("list").arguments->operation, Operation::list);
    EXPECT_EQ(parse_line("check-policy").arguments->file, nullptr);
    EXPECT_STREQ(parse({"check-policy", "a b"}).arguments->file, "a b");
}

TEST(NetArguments, RefusesWrongNumbersOfWords) {
    for (const char* line :
         {"", "help", "--help", "-h", "list now", "tap-add", "tap-add cap-a br0",
          "tap-add cap-a br0 02:00:00:00:00:01 more", "trunk-add cap-a", "trunk-add cap-a b c", "tap-del",
          "tap-del a b", "bridge-add", "addr-add cap-a", "egress cap-a", "egress cap-a full 10.0.0.0/8",
          "check-policy a b", "TAP-ADD cap-a br0 02:00:00:00:00:01"}) {
        expect_refused(line);
    }
}

TEST(NetArguments, RefusesOptionsOfOtherVerbs) {
    for (const char* line :
         {"trunk-add cap-a cap-b --any-ip", "tap-del cap-a --isolated", "egress cap-a full --ip 10.0.0.1",
          "tap-add cap-a br0 02:00:00:00:00:01 --no-learning", "tap-del cap-a --no-learning",
          "bridge-add cap-a --no-learning", "tap-add cap-a br0 02:00:00:00:00:01 --ip",
          "tap-add cap-a br0 02:00:00:00:00:01 --isolate", "tap-add cap-a br0 02:00:00:00:00:01 --",
          "bridge-add -x", "check-policy -x"}) {
        expect_refused(line);
    }
}

TEST(NetArguments, RefusesBadNames) {
    const std::vector<std::string> bad{"",
                                       "-cap",
                                       ".cap",
                                       "cap.0",
                                       "cap/0",
                                       "../cap",
                                       "cap\n",
                                       "Cap",
                                       "0cap",
                                       "cap_0",
                                       "sixteen-letters-",
                                       "cap%n",
                                       "$HOME",
                                       "`id`",
                                       "cap;id",
                                       "cap 0",
                                       "caf\xc3\xa9",
                                       "\xff"};
    for (const std::string& name : bad) {
        EXPECT_NE(parse({"tap-del", name}).problem, "") << name;
        EXPECT_NE(parse({"bridge-add", name}).problem, "") << name;
        EXPECT_NE(parse({"trunk-add", name, "cap-n1"}).problem, "") << name;
        EXPECT_NE(parse({"egress", name, "none"}).problem, "") << name;
    }
    EXPECT_EQ(parse_line("tap-del fifteen-letters").problem, "");
    for (const char* bridge : {"", ".", "..", "br/0", "br 0", "sixteen-letters-", "br\n"}) {
        EXPECT_NE(parse({"tap-add", "cap-a", bridge, "02:00:00:00:00:01"}).problem, "") << bridge;
    }
}

TEST(NetArguments, SaysNothingOfWhatWasGiven) {
    const std::string problem = parse({"tap-del", "\x1b[31m-secret"}).problem;
    EXPECT_EQ(problem.find("secret"), std::string::npos);
}

TEST(NetArguments, RefusesMacsThatAreNoGuests) {
    for (const char* mac :
         {"00:16:3e:00:00:01", "01:00:5e:00:00:01", "03:00:00:00:00:01", "ff:ff:ff:ff:ff:ff",
          "00:00:00:00:00:00", "fe:00:00:00:00:01", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1",
          "02-00-00-00-00-01", "0200.0000.0001", "02:00:00:00:00:0g", "02:00:00:00:00:+1",
          "02:00:00:00:00: 1", "02:00:00:00:000:1"}) {
        EXPECT_NE(parse({"tap-add", "cap-a", "br0", mac}).problem, "") << mac;
    }
    EXPECT_EQ(parse_line("tap-add cap-a br0 fa:FF:ff:00:9a:A9").problem, "");
}

TEST(NetArguments, RefusesAddressesThatAreNone) {
    for (const char* ip :
         {"", "10.0.0", "10.0.0.256", "10.0.0.1/24", "010.0.0.1", "fe80::1%eth0", "::g", "1:2:3:4:5:6:7:8:9",
          "localhost", "10.0.0.1 ", "2001:db8:0000:0000:0000:0000:0000:00000000000000001"}) {
        EXPECT_NE(parse({"tap-add", "cap-a", "br0", "02:00:00:00:00:01", "--ip", ip}).problem, "") << ip;
    }
    std::string many = "tap-add cap-a br0 02:00:00:00:00:01";
    for (int i = 0; i < 32; ++i) {
        many += " --ip 10.0.0.1";
    }
    EXPECT_EQ(parse_line(many).problem, "");
    expect_refused(many + " --ip 10.0.0.1");
}

TEST(NetArguments, RefusesAddressesThatNoHostHas) {
    for (const char* address :
         {"10.80.0.0/24", "10.80.0.255/24", "10.80.0.1", "10.80.0.1/33", "fd00::/64", "fd00::1/129",
          "0.0.0.0/0", "::/0", "10.80.0.1/-1", "10.80.0.1/024", "10.80.0.1/24/24"}) {
        expect_refused(std::string("addr-add cap-n1 ") + address);
    }
    for (const char* address :
         {"10.80.0.0/31", "10.80.0.1/32", "10.80.0.254/24", "fd00::ffff:ffff:ffff:ffff/64", "fd00::/127"}) {
        EXPECT_EQ(parse_line(std::string("addr-add cap-n1 ") + address).problem, "") << address;
    }
}

struct ParsedItem {
    const char* text;
    const char* first;
    const char* last;
    int protocol_first;
    int protocol_last;
    int port_first;
    int port_last;
};

TEST(NetArguments, TakesItems) {
    for (const ParsedItem& wanted :
         {ParsedItem{"192.0.2.0/24,tcp,443", "192.0.2.0", "192.0.2.255", 6, 6, 443, 443},
          ParsedItem{"192.0.2.7/32,udp,1-65535", "192.0.2.7", "192.0.2.7", 17, 17, 1, 65535},
          ParsedItem{"10.0.0.0/8,tcp", "10.0.0.0", "10.255.255.255", 6, 6, 0, 65535},
          ParsedItem{"0.0.0.0/0", "0.0.0.0", "255.255.255.255", 0, 255, 0, 65535},
          ParsedItem{"2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", 0, 255, 0,
                     65535}}) {
        const Parsed parsed = parse_line(std::string("egress cap-n1 list ") + wanted.text);
        ASSERT_EQ(parsed.problem, "") << wanted.text;
        ASSERT_EQ(parsed.arguments->items.size(), 1U);
        const Item& item = *parsed.arguments->items.begin();
        EXPECT_EQ(text_of(item.network.first()), wanted.first);
        EXPECT_EQ(text_of(item.network.last()), wanted.last);
        EXPECT_EQ(item.protocol_first, wanted.protocol_first);
        EXPECT_EQ(item.protocol_last, wanted.protocol_last);
        EXPECT_EQ(item.port_first, wanted.port_first);
        EXPECT_EQ(item.port_last, wanted.port_last);
    }
}

TEST(NetArguments, RefusesItemsThatAreNone) {
    for (const char* item :
         {"10.0.0.0", "10.0.0.1/8", ",tcp", "10.0.0.0/8,", "10.0.0.0/8,icmp", "10.0.0.0/8,TCP",
          "10.0.0.0/8,tcp,", "10.0.0.0/8,tcp,0", "10.0.0.0/8,tcp,65536", "10.0.0.0/8,tcp,443-",
          "10.0.0.0/8,tcp,-443", "10.0.0.0/8,tcp,80-79", "10.0.0.0/8,tcp,80,81", "10.0.0.0/8,,80",
          "10.0.0.0/8,tcp,80-81-82", "10.0.0.0/8,443"}) {
        expect_refused(std::string("egress cap-n1 list ") + item);
    }
}

TEST(NetArguments, DropsItemsThatAreInsideOthers) {
    const Parsed parsed =
        parse_line("egress cap-n1 list 10.1.0.0/16,tcp,443 10.0.0.0/8,tcp 10.0.0.0/8,tcp 192.0.2.0/24 "
                   "192.0.2.0/25,udp,53 2001:db8::/32");
    ASSERT_EQ(parsed.problem, "");
    EXPECT_EQ(parsed.arguments->items.size(), 3U);
}

TEST(NetArguments, PutsNarrowPortsFirst) {
    const Parsed parsed = parse_line("egress cap-n1 list 10.0.0.0/16 10.0.0.0/8,tcp,443 10.0.0.0/12,udp");
    ASSERT_EQ(parsed.problem, "");
    ASSERT_EQ(parsed.arguments->items.size(), 3U);
    const Item* items = parsed.arguments->items.begin();
    EXPECT_EQ(items[0].network.length, 8);
    EXPECT_EQ(items[1].network.length, 12);
    EXPECT_EQ(items[2].network.length, 16);
}

TEST(NetArguments, RefusesTooManyItems) {
    std::string many = "egress cap-n1 list";
    for (int i = 0; i < 128; ++i) {
        many += " 10.0." + std::to_string(i) + ".0/24";
    }
    EXPECT_EQ(parse_line(many).problem, "");
    expect_refused(many + " 10.1.0.0/24");
}

TEST(NetValues, DerivesTheLinkLocalAddressOfAMac) {
    EXPECT_EQ(text_of(link_local_of({0x02, 0xab, 0xcd, 0x01, 0x02, 0x03})), "fe80::ab:cdff:fe01:203");
}

TEST(NetValues, KnowsWhatIsInANetwork) {
    const auto in = [](const char* network, const char* other) {
        return parse_cidr(network)->contains(*parse_cidr(other));
    };
    EXPECT_TRUE(in("10.80.0.0/20", "10.80.15.255/32"));
    EXPECT_FALSE(in("10.80.0.0/20", "10.80.16.0/32"));
    EXPECT_FALSE(in("10.80.0.0/20", "10.80.0.0/19"));
    EXPECT_TRUE(in("0.0.0.0/0", "255.255.255.255/32"));
    EXPECT_FALSE(in("0.0.0.0/0", "::/128"));
    EXPECT_TRUE(in("2001:db8::/33", "2001:db8:7fff::1/128"));
    EXPECT_FALSE(in("2001:db8::/33", "2001:db8:8000::1/128"));
    EXPECT_TRUE(parse_cidr("10.0.0.1/24")->overlaps(*parse_cidr("10.0.0.128/25")));
    EXPECT_TRUE(parse_cidr("10.0.0.128/25")->overlaps(*parse_cidr("10.0.0.1/24")));
    EXPECT_FALSE(parse_cidr("10.0.0.0/25")->overlaps(*parse_cidr("10.0.0.128/25")));
}

} // namespace
} // namespace capsul::nethelper
