#include "daemon/peer_unit.hpp"
#include "daemon/unit_file.hpp"

#include "tests/network_records.hpp"
#include "tests/unit/golden.hpp"

namespace capsul {
namespace {

NetworkRecord office() {
    NetworkRecord network = test::nat_network("office", "10.90.0.0/16");
    network.type = NetworkType::vpn;
    network.vpn.emplace().slice = Cidr::parse("10.90.4.0/22");
    return network;
}

TEST(PeerUnit, IsAsGolden) {
    expect_golden("capsul-peer-office.service",
                  peer_unit(office(), "/home/alice/.local/share/capsul/networks/office", "/run/user/1000",
                            "/usr/libexec/capsul"));
    expect_golden("capsul-invite-office.service", invite_unit(office(), "/srv/capsul/networks/office",
                                                              "/opt/capsul/libexec", std::chrono::hours(1)));
    expect_golden("capsul-check-office.service",
                  check_unit(office(), "/srv/capsul/networks/office", "/opt/capsul/libexec"));
}

// Nothing starts it at boot, and it cannot start without an invitation.
TEST(InviteUnit, IsThereOnlyWithAnInvitation) {
    const std::string unit =
        invite_unit(office(), "/srv/office", "/usr/libexec/capsul", std::chrono::minutes(1));
    EXPECT_EQ(unit.find("[Install]"), std::string::npos);
    EXPECT_NE(unit.find("\nConditionPathExists=/srv/office/invite/invitation.json\n"), std::string::npos);
    EXPECT_EQ(check_seal(unit), SealState::whole);
}

} // namespace
} // namespace capsul
