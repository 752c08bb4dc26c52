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
