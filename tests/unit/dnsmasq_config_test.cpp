#include "daemon/dnsmasq_config.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/process.hpp"
#include "lib/fd.hpp"
#include "tests/network_records.hpp"
#include "tests/temporary_folder.hpp"
#include "tests/unit/golden.hpp"

#include <filesystem>
#include <gtest/gtest.h>

namespace capsul {
namespace {

NetworkRecord lan() {
    NetworkRecord network = test::nat_network("lan", "10.80.0.0/22", "fd80::/64");
    network.dhcp = true;
    network.dhcp_tap = InterfaceName::parse("cap-lan-dhcp");
    return network;
}

NetworkRecord lab() {
    return test::vpn_network("lab", "10.90.0.0/20", "fd90::/64", "10.90.4.0/26");
}

NetworkRecord with_dhcp(NetworkRecord network) {
    network.dhcp = true;
    return network;
}

NetworkRecord without_ipv6(NetworkRecord network) {
    network.subnet6.reset();
    return network;
}

std::vector<IpAddress> servers(const std::vector<std::string>& texts) {
    std::vector<IpAddress> result;
    for (const std::string& text : texts) {
        result.push_back(IpAddress::parse(text));
    }
    return result;
}

DhcpHost host(const std::string& name, const std::string& ip, const std::string& ip6) {
    DhcpHost result{Mac::parse("02:00:00:00:00:01"), {}, {}, Name::parse(name)};
    if (!ip.empty()) {
        result.ip = IpAddress::parse(ip);
    }
    if (!ip6.empty()) {
        result.ip6 = IpAddress::parse(ip6);
    }
    return result;
}

/// Without the line that says what it is.
std::string lines_for(const std::vector<DhcpHost>& hosts) {
    const std::string text = dnsmasq_hosts(hosts);
    return text.substr(text.find('\n') + 1);
}

TEST(DnsmasqConfig, IsAsGolden) {
    expect_golden("dnsmasq.conf", dnsmasq_config(lan(), servers({"192.0.2.53", "2001:db8::53", "192.0.2.54",
                                                                 "2001:db8::54"})));
}

TEST(DnsmasqConfig, SaysNothingOfAFamilyThatTheNetworkDoesNotHave) {
    NetworkRecord network = lan();
    network.subnet6.reset();
    network.gateway6.reset();
    const std::string text = dnsmasq_config(network, servers({"2001:db8::53"}));
    EXPECT_EQ(text.find("enable-ra"), std::string::npos);
    EXPECT_EQ(text.find("dns-server"), std::string::npos);
}

void expect_understood(const std::string& config) {
    const test::TemporaryFolder folder;
    const std::filesystem::path file = folder / "dnsmasq.conf";
    replace_file(file, config);
    const ProcessResult result =
        run_process({dnsmasq_program, "--test", "--conf-file=" + file.string()}, std::chrono::seconds(10));
    EXPECT_EQ(result.status, 0) << result.err << config;
}

TEST(DnsmasqConfig, IsUnderstoodByDnsmasq) {
    if (!std::filesystem::exists(dnsmasq_program)) {
        GTEST_SKIP() << "dnsmasq is not installed";
    }
    NetworkRecord small = lan();
    small.subnet = Cidr::parse("10.80.0.0/30");
    small.subnet6 = Cidr::parse("fd80::/126");
    for (const NetworkRecord& network : {lan(), small}) {
        expect_understood(dnsmasq_config(network, servers({"192.0.2.53", "2001:db8::53"})));
    }
    for (const NetworkRecord& network :
         {lab(), with_dhcp(lab()), without_ipv6(lab()), with_dhcp(without_ipv6(lab()))}) {
        expect_understood(resolver_config(network));
    }
}

TEST(ResolverConfig, IsAsGolden) {
    expect_golden("resolver.conf", resolver_config(lab()));
    expect_golden("resolver-dhcp.conf", resolver_config(with_dhcp(lab())));
}

TEST(ResolverConfig, SaysNothingOfAFamilyThatTheNetworkDoesNotHave) {
    const std::string text = resolver_config(with_dhcp(without_ipv6(lab())));
    EXPECT_EQ(text.find("IPv6"), std::string::npos);
    EXPECT_EQ(text.find("fd90"), std::string::npos);
}

TEST(DnsmasqHosts, IsALineForEachNic) {
    EXPECT_EQ(lines_for({host("web", "10.80.0.2", "fd80::2"), host("db", "10.80.0.3", ""),
                         host("six", "", "fd80::4")}),
              "02:00:00:00:00:01,10.80.0.2,[fd80::2],web\n"
              "02:00:00:00:00:01,10.80.0.3,db\n"
              "02:00:00:00:00:01,[fd80::4],six\n");
}

TEST(DnsmasqHosts, LeavesOutANicWithoutAddress) {
    EXPECT_EQ(lines_for({host("web", "", "")}), "");
}

TEST(DnsmasqHosts, GivesNoNameThatDnsmasqTakesForSomethingElse) {
    for (const char* name : {"ignore", "infinite"}) {
        EXPECT_EQ(lines_for({host(name, "10.80.0.2", "")}), "02:00:00:00:00:01,10.80.0.2\n") << name;
    }
    for (const char* name : {"ignored", "h", "d1", "web7"}) {
        EXPECT_EQ(lines_for({host(name, "10.80.0.2", "")}),
                  std::string("02:00:00:00:00:01,10.80.0.2,") + name + "\n")
            << name;
    }
}

TEST(DhcpUnit, IsAsGolden) {
    expect_golden("capsul-dhcp-lan.service",
                  dhcp_unit(lan(), "/home/alice/.local/share/capsul/networks/lan", "/usr/libexec/capsul"));
    NetworkRecord only4 = lan();
    only4.name = Name::parse("office");
    only4.subnet6.reset();
    only4.gateway6.reset();
    expect_golden("capsul-dhcp-office.service",
                  dhcp_unit(only4, "/srv/capsul/networks/office", "/opt/capsul/libexec"));
}

TEST(DhcpUnit, OfAVpnIsAsGolden) {
    expect_golden(
        "capsul-dhcp-lab.service",
        dhcp_unit(with_dhcp(lab()), "/home/alice/.local/share/capsul/networks/lab", "/usr/libexec/capsul"));
    NetworkRecord only_names = without_ipv6(lab());
    only_names.name = Name::parse("public");
    only_names.vpn->mtu = 8900;
    expect_golden("capsul-dhcp-public.service",
                  dhcp_unit(only_names, "/srv/capsul/networks/public", "/opt/capsul/libexec"));
}

TEST(DhcpUnit, EveryHostsResolverHasItsOwnMac) {
    NetworkRecord other = lab();
    other.vpn->node = NodeName::parse("host_b");
    const auto text = [](const NetworkRecord& network) {
        return dhcp_unit(network, "/srv/lab", "/usr/libexec");
    };
    EXPECT_NE(text(lab()), text(other));
    EXPECT_EQ(text(lab()), text(lab()));
}

TEST(DhcpUnit, IsThereForDhcpAndForNames) {
    NetworkRecord network = lan();
    EXPECT_TRUE(has_dhcp_unit(network));
    network.dhcp = false;
    EXPECT_FALSE(has_dhcp_unit(network));
    EXPECT_TRUE(has_dhcp_unit(lab()));
}

} // namespace
} // namespace capsul
