#include "daemon/network_script.hpp"
#include "daemon/network_unit.hpp"
#include "daemon/tinc_config.hpp"
#include "daemon/vpn_unit.hpp"
#include "tests/lab_records.hpp"
#include "tests/unit/golden.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

const char* const helper = "/usr/libexec/capsul/capsul-net";
const char* const folder = "/home/alice/.local/share/capsul/networks/lab";

NetworkRecord lab() {
    return test::lab::vpn_network(Identity());
}

VpnNode host_b() {
    return test::lab::vpn_node("b", "10.90.0.64/26", Identity());
}

} // namespace

TEST(VpnFiles, AreAsGolden) {
    VpnNode silent = test::lab::vpn_node("c", "10.90.0.128/26", Identity());
    silent.addresses.clear();
    expect_golden("tinc.conf", tinc_config(lab(), {host_b(), silent}));
    expect_golden("tinc-host-b", tinc_host(host_b()));
    expect_golden("tinc-host-own", tinc_own_host(*lab().vpn));
    expect_golden("network-vpn-setup.sh", network_setup(lab(), helper));
    expect_golden("network-vpn-teardown.sh", network_teardown(lab(), helper));
    expect_golden("capsul-net-lab.service", network_unit(lab(), folder));
    expect_golden("capsul-vpn-lab.service", vpn_unit(lab(), folder, "/usr/libexec/capsul"));
}

TEST(VpnFiles, TellThePort) {
    EXPECT_EQ(tinc_port(tinc_config(lab(), {})), 11655);
    for (const char* none : {"", "Name = a\n", "\nPort = x\n", "\nPort = 65536\n", "\nPort = "}) {
        EXPECT_EQ(tinc_port(none), std::nullopt) << none;
    }
}

TEST(VpnFiles, CallNobodyWhoDoesNotSayWhere) {
    VpnNode silent = host_b();
    silent.addresses.clear();
    EXPECT_EQ(tinc_config(lab(), {silent}).find("ConnectTo"), std::string::npos);
    EXPECT_EQ(tinc_host(silent), silent.key.to_pem());
}

TEST(VpnFiles, OfAVmNeedTheBridgeAndDoWithoutTheTunnel) {
    const std::string unit =
        tap_unit(Name::parse("web"), {Name::parse("lab")}, {Name::parse("lab")}, "/vms/web");
    EXPECT_NE(unit.find("Requires=capsul-net-lab.service\nAfter=capsul-net-lab.service\n"),
              std::string::npos);
    EXPECT_NE(unit.find("Wants=capsul-vpn-lab.service\nAfter=capsul-vpn-lab.service\n"), std::string::npos);
    EXPECT_EQ(unit.find("Requires=capsul-vpn"), std::string::npos);
}

} // namespace capsul
