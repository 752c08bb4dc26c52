#include "daemon/vpn_names.hpp"

#include "tests/unit/golden.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

const Name lab_vpn = Name::parse("lab");

VpnGuest guest(const std::string& name, const std::string& ip, const std::string& ip6 = "") {
    VpnGuest result{Name::parse(name), {}, {}};
    if (!ip.empty()) {
        result.ip = IpAddress::parse(ip);
    }
    if (!ip6.empty()) {
        result.ip6 = IpAddress::parse(ip6);
    }
    return result;
}

NamedHost host(const std::string& node, const std::string& ip, const std::vector<VpnGuest>& guests) {
    return {NodeName::parse(node), IpAddress::parse(ip), {}, guests};
}

/// Without the line that says what it is.
std::string lines_for(const NamedHost& own, const std::vector<NamedHost>& others) {
    const std::string text = vpn_hosts_file(lab_vpn, own, others);
    return text.substr(text.find('\n') + 1);
}

TEST(VpnNames, AreAsGolden) {
    NamedHost own = host("host_a", "10.90.0.1",
                         {guest("web", "10.90.0.3", "fd90::ff:fe00:1"), guest("db", "10.90.0.4"),
                          guest("six", "", "fd90::ff:fe00:3"), guest("nameless", "")});
    own.ip6 = IpAddress::parse("fd90::a5a:1");
    expect_golden("vpn-hosts", vpn_hosts_file(lab_vpn, own,
                                              {host("host_c", "10.90.8.1", {guest("cache", "10.90.8.3")}),
                                               host("host_b", "10.90.4.1", {guest("app", "10.90.4.3")})}));
}

TEST(VpnNames, NobodyElsewhereTakesANameAway) {
    const NamedHost own = host("host_a", "10.90.0.1", {guest("web", "10.90.0.3")});
    EXPECT_EQ(
        lines_for(own, {host("web", "10.90.4.1", {}), host("z", "10.90.8.1", {guest("host-a", "10.90.8.3")}),
                        host("b", "10.90.12.1", {guest("web", "10.90.12.3", "fd90::3")})}),
        "10.90.12.1 b.lab.capsul\n"
        "10.90.0.1 host-a.lab.capsul\n"
        "10.90.0.3 web.lab.capsul\n"
        "10.90.8.1 z.lab.capsul\n");
}

TEST(VpnNames, OfOthersTheHostComesFirstAndThenTheOrderOfTheirNames) {
    const std::vector<NamedHost> others{
        host("c", "10.90.8.1", {guest("app", "10.90.8.3")}),
        host("b", "10.90.4.1", {guest("app", "10.90.4.3"), guest("c", "10.90.4.4")})};
    const std::string wanted = "10.90.0.1 a.lab.capsul\n"
                               "10.90.4.3 app.lab.capsul\n"
                               "10.90.4.1 b.lab.capsul\n"
                               "10.90.8.1 c.lab.capsul\n";
    EXPECT_EQ(lines_for(host("a", "10.90.0.1", {}), others), wanted);
    EXPECT_EQ(lines_for(host("a", "10.90.0.1", {}), {others[1], others[0]}), wanted);
}

} // namespace
} // namespace capsul
