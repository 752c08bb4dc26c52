#include "daemon/dhcp/options.hpp"

#include <gtest/gtest.h>
#include <stdexcept>

namespace capsul::dhcp {
namespace {

using Words = std::vector<std::string>;

const Words good{"--bridge",     "cap-lan",           "--trunk",    "cap-lan-dhcp", "--address",
                 "10.80.0.1/24", "--address",         "fd80::1/64", "--ro",         "/etc/x",
                 "--",           "/usr/sbin/dnsmasq", "--test"};

Words with(std::size_t place, const std::string& word) {
    Words words = good;
    words[place] = word;
    return words;
}

TEST(DhcpOptions, TakesAWholeLine) {
    const Options options = parse_options(good);
    EXPECT_EQ(options.bridge, "cap-lan");
    EXPECT_EQ(options.trunk, "cap-lan-dhcp");
    ASSERT_EQ(options.addresses.size(), 2U);
    EXPECT_EQ(options.addresses[0], (Prefix{AF_INET, {10, 80, 0, 1}, 24}));
    EXPECT_EQ(options.addresses[1].family, AF_INET6);
    EXPECT_EQ(options.addresses[1].length, 64);
    EXPECT_EQ(options.read_only, Words{"/etc/x"});
    EXPECT_EQ(options.command, (Words{"/usr/sbin/dnsmasq", "--test"}));
}

TEST(DhcpOptions, TakesAHostOfItsOwn) {
    Words words = with(0, "--mac");
    words[1] = "02:00:00:00:fF:01";
    words.insert(words.begin() + 2, {"--mtu", "1400"});
    const Options options = parse_options(words);
    EXPECT_EQ(options.mac, (Mac{2, 0, 0, 0, 0xff, 1}));
    EXPECT_EQ(options.bridge, "");
    EXPECT_EQ(options.mtu, 1400U);
    EXPECT_FALSE(parse_options(good).mac);
    EXPECT_EQ(parse_options(good).mtu, 0U);
}

TEST(DhcpOptions, RefusesWhatIsNoMac) {
    for (const char* mac :
         {"", "02:00:00:00:00", "02:00:00:00:00:1", "02:00:00:00:00:001", "02-00-00-00-00-01",
          "02:00:00:00:00:0g", "03:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", " 2:00:00:00:00:01"}) {
        Words words = with(0, "--mac");
        words[1] = mac;
        EXPECT_THROW(static_cast<void>(parse_options(words)), std::invalid_argument) << mac;
    }
}

TEST(DhcpOptions, RefusesWhatIsNoMtu) {
    for (const char* mtu : {"", "0", "575", "1501", "-1", "1400x", "99999999999"}) {
        Words words = good;
        words.insert(words.begin(), {"--mtu", mtu});
        EXPECT_THROW(static_cast<void>(parse_options(words)), std::invalid_argument) << mtu;
    }
}

TEST(DhcpOptions, RefusesBothABridgeAndAMac) {
    Words words = good;
    words.insert(words.begin(), {"--mac", "02:00:00:00:00:01"});
    EXPECT_THROW(static_cast<void>(parse_options(words)), std::invalid_argument);
}

TEST(DhcpOptions, RefusesWhatIsNoAddress) {
    for (const char* address : {"", "10.80.0.1", "10.80.0.1/", "10.80.0.1/33", "10.80.0.1/+8", "10.80.0.1/8x",
                                "10.80.0/24", "fd80::1/129", "fd80::1%lo/64", "x/24", "/24"}) {
        EXPECT_THROW(static_cast<void>(parse_options(with(5, address))), std::invalid_argument) << address;
    }
    EXPECT_THROW(static_cast<void>(parse_options(with(7, "10.80.0.2/24"))), std::invalid_argument);
}

TEST(DhcpOptions, RefusesWhatIsNoInterface) {
    for (const char* name : {"", "sixteen-letters-", "a/b", "a b"}) {
        EXPECT_THROW(static_cast<void>(parse_options(with(1, name))), std::invalid_argument) << name;
        EXPECT_THROW(static_cast<void>(parse_options(with(3, name))), std::invalid_argument) << name;
    }
}

TEST(DhcpOptions, RefusesALineWithoutAllThatIsNeeded) {
    EXPECT_THROW(static_cast<void>(parse_options({})), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(parse_options({"--", "/bin/true"})), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(parse_options(with(0, "--bride"))), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(parse_options(with(11, "dnsmasq"))), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(parse_options(Words(good.begin(), good.begin() + 10))),
                 std::invalid_argument);
    EXPECT_THROW(static_cast<void>(parse_options(Words(good.begin(), good.begin() + 11))),
                 std::invalid_argument);
    EXPECT_THROW(static_cast<void>(parse_options(Words(good.begin(), good.begin() + 9))),
                 std::invalid_argument);
}

} // namespace
} // namespace capsul::dhcp
