// How networks and the NICs of VMs look to a person.
#include "cli/network_view.hpp"
#include "cli/nic_view.hpp"
#include "cli/vm_view.hpp"
#include "tests/network_records.hpp"

#include <gtest/gtest.h>

namespace capsul::cli {
namespace {

Network nat_network() {
    NetworkRecord record = test::nat_network("lan", "10.80.0.0/24");
    record.isolate = true;
    record.egress = Egress::parse("dns-icmp");
    record.reservations = {{IpAddress::parse("10.80.0.9"), Name::parse("web")},
                           {IpAddress::parse("10.80.0.8"), Name::parse("db")}};
    Network network;
    network.name = record.name;
    network.state = NetworkState::running;
    network.enabled = true;
    network.unit = network_unit_name(record.name);
    network.vms = {Name::parse("db"), Name::parse("web")};
    network.spec = record;
    return network;
}

Network bridge_network() {
    const NetworkRecord record = test::bridge_network("pub", "br0");
    Network network;
    network.name = record.name;
    network.unit = network_unit_name(record.name);
    network.spec = record;
    return network;
}

Network broken_network() {
    Network network;
    network.name = Name::parse("odd");
    network.state = NetworkState::broken;
    network.unit = network_unit_name(network.name);
    network.reason = "network.toml: line 3";
    return network;
}

std::string table(const std::vector<Network>& networks, Format format = Format::table) {
    OutputOptions options;
    options.format = format;
    return render_grid(make_grid(networks, network_columns(), options), options);
}

TEST(NetworkView, ListsWhatMatters) {
    EXPECT_EQ(table({bridge_network(), nat_network()}),
              "NAME  TYPE    STATE    BRIDGE   SUBNET        VMS\n"
              "pub   bridge  stopped  br0\n"
              "lan   nat     running  cap-lan  10.80.0.0/24  db,web\n");
}

TEST(NetworkView, ListsABrokenOneBesideTheOthers) {
    EXPECT_EQ(table({bridge_network(), broken_network()}),
              "NAME  TYPE    STATE    BRIDGE  SUBNET  VMS  REASON\n"
              "pub   bridge  stopped  br0\n"
              "odd           broken                        network.toml: line 3\n");
}

TEST(NetworkView, ListsIpv6WhereThereIsAny) {
    Network network = nat_network();
    EXPECT_EQ(table({network}).find("SUBNET6"), std::string::npos);
    network.spec->subnet6 = Cidr::parse("fd00:80::/64");
    EXPECT_NE(table({network}).find("fd00:80::/64"), std::string::npos);
}

TEST(NetworkView, TellsNoEgressOfABridgeThatIsNotCapsuls) {
    EXPECT_EQ(table({bridge_network(), nat_network()}, Format::csv),
              "name,type,state,bridge,subnet,subnet6,vms,peers,tunnel,node,slice,gateway,range,dns,isolate,"
              "egress,dhcp,boot,unit,reason\n"
              "pub,bridge,stopped,br0,,,,,,,,,,,no,,,no,capsul-net-pub.service,\n"
              "lan,nat,running,cap-lan,10.80.0.0/24,,\"db,web\",,,,,10.80.0.1,,,yes,dns-icmp,off,yes,"
              "capsul-net-lan.service,\n");
}

TEST(NetworkView, ShowsANatNetwork) {
    EXPECT_EQ(render_network(nat_network(), {}), "Name:            lan\n"
                                                 "Type:            nat\n"
                                                 "State:           running\n"
                                                 "Starts at boot:  yes\n"
                                                 "Unit:            capsul-net-lan.service\n"
                                                 "VMs:             db, web\n"
                                                 "Bridge:          cap-lan\n"
                                                 "Subnet:          10.80.0.0/24\n"
                                                 "Gateway:         10.80.0.1\n"
                                                 "Addresses:       all of the subnet\n"
                                                 "DNS:             as this host\n"
                                                 "Reserved:        10.80.0.9 for web, 10.80.0.8 for db\n"
                                                 "Isolated:        yes: its VMs do not reach each other\n"
                                                 "Egress:          dns-icmp\n"
                                                 "DHCP:            off\n"
                                                 "Created:         2026-11-22T06:00:00Z\n");
}

TEST(NetworkView, ShowsWhoGivesOutTheAddressesOfABridge) {
    const std::string text = render_network(bridge_network(), {});
    EXPECT_NE(text.find("Addresses:       capsul gives out none"), std::string::npos) << text;
    for (const char* absent : {"Subnet", "DNS", "Egress"}) {
        EXPECT_EQ(text.find(absent), std::string::npos) << text;
    }
}

TEST(NetworkView, ShowsHowItsDhcpServerIs) {
    Network network = nat_network();
    network.dhcp = NetworkState::failed;
    EXPECT_NE(render_network(network, {}).find("DHCP:            on (failed)\n"), std::string::npos);
}

TEST(NetworkView, ShowsWhyOneIsBroken) {
    EXPECT_EQ(render_network(broken_network(), {}), "Name:            odd\n"
                                                    "State:           broken\n"
                                                    "Reason:          network.toml: line 3\n"
                                                    "Starts at boot:  no\n"
                                                    "Unit:            capsul-net-odd.service\n");
}

Vm vm_with_nics() {
    VmRecord record;
    Nic lan;
    lan.network = Name::parse("lan");
    lan.mac = Mac::parse("02:00:00:00:00:01");
    lan.tap = InterfaceName::parse("cap-web-0");
    lan.ip = IpAddress::parse("10.80.0.2");
    lan.ip6 = IpAddress::parse("fd00:80::2");
    Nic user;
    user.slot = 2;
    user.network = Name::parse("user");
    user.mac = Mac::parse("02:00:00:00:00:02");
    record.nics = {lan, user};
    Vm vm;
    vm.name = Name::parse("web");
    vm.spec = record;
    return vm;
}

TEST(VmView, ShowsEachNic) {
    const std::string text = render_vm(vm_with_nics(), {});
    EXPECT_NE(
        text.find("NIC 0:           on lan, 10.80.0.2, fd00:80::2, MAC 02:00:00:00:00:01, TAP cap-web-0\n"
                  "NIC 2:           on user, MAC 02:00:00:00:00:02\n"),
        std::string::npos)
        << text;
}

TEST(VmView, ShowsWhatHoldsANicWhileItsVmIsUp) {
    Vm vm = vm_with_nics();
    EXPECT_EQ(render_vm(vm, {}).find("Protection"), std::string::npos);
    NicStatus status;
    status.protections = {"mac", "ip", "isolated", "later"};
    vm.nics = {status};
    EXPECT_NE(
        render_vm(vm, {}).find("TAP cap-web-0\n"
                               "  Protection:    bound to its MAC, bound to its addresses, isolated from "
                               "other VMs, later\n"
                               "NIC 2:"),
        std::string::npos)
        << render_vm(vm, {});
    vm.nics.front().protections = {"ip?", "cut-off"};
    EXPECT_NE(
        render_vm(vm, {}).find("perhaps bound to its addresses (the packet filter cannot be asked), cut off"),
        std::string::npos);
    vm.nics.front().protections.clear();
    EXPECT_NE(render_vm(vm, {}).find("  Protection:    none\n"), std::string::npos);
}

TEST(VmView, ShowsWhatANicHasCarriedInTheWideForm) {
    Vm vm = vm_with_nics();
    NicStatus status;
    status.counters = {2048, 3, 1, 0, 0, 0};
    vm.nics = {status};
    EXPECT_EQ(render_vm(vm, {}).find("Received"), std::string::npos);
    OutputOptions wide;
    wide.format = Format::wide;
    const std::string text = render_vm(vm, wide);
    EXPECT_NE(text.find("  Received:      2.0 KiB in 3 packets, 1 dropped\n"), std::string::npos) << text;
    EXPECT_NE(text.find("  Sent:          0"), std::string::npos) << text;
}

TEST(NicColumns, ArePlainNumbersInCsv) {
    Vm vm = vm_with_nics();
    NicStatus status;
    status.counters = {2048, 3, 1, 1024, 2, 0};
    vm.nics = {status};
    OutputOptions options;
    options.columns = {"received", "received-packets", "received-dropped",
                       "sent",     "sent-packets",     "sent-dropped"};
    const auto first = [&] { return make_grid(nic_views(vm), nic_columns(), options).rows.front(); };
    EXPECT_EQ(first().front().text, "2.0 KiB");
    options.format = Format::csv;
    EXPECT_EQ(joined(first(), [](const Cell& cell) { return cell.text; }), "2048,3,1,1024,2,0");
}

TEST(VmView, ListsNetworksAndAddressesInTheOrderOfTheNics) {
    OutputOptions options;
    options.columns = {"network", "ip", "mac"};
    const std::vector<Vm> vms{vm_with_nics()};
    EXPECT_EQ(render_grid(make_grid(vms, vm_columns(), options), options),
              "NETWORK   IP                    MAC\n"
              "lan,user  10.80.0.2,fd00:80::2  02:00:00:00:00:01,02:00:00:00:00:02\n");
    options = {};
    options.format = Format::wide;
    const std::string wide = render_grid(make_grid(vms, vm_columns(), options), options);
    EXPECT_NE(wide.find("10.80.0.2,fd00:80::2"), std::string::npos) << wide;
}

TEST(EndpointText, PutsIpv6InBrackets) {
    EXPECT_EQ(endpoint_text(Endpoint{"10.80.0.2", 22}), "10.80.0.2:22");
    EXPECT_EQ(endpoint_text(Endpoint{"fd00:80::2", 22}), "[fd00:80::2]:22");
    EXPECT_EQ(endpoint_text(std::nullopt), "");
}

TEST(Joined, LeavesOutWhatIsEmpty) {
    const std::vector<std::string> values{"", "a", "", "b"};
    EXPECT_EQ(joined(values, [](const std::string& value) { return value; }), "a,b");
}

} // namespace
} // namespace capsul::cli
