// Published ports of VMs on nat networks: the units that are written, refused and removed. The network's
// helper and the TAPs are made up, QEMU is real.
#include "daemon/vm_publish.hpp"
#include "tests/integration/vm_fixture.hpp"
#include "tests/network_records.hpp"

#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace capsul {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Grants everything and makes nothing.
constexpr const char* helper =
    "#!/bin/sh\n[ \"$1\" != check-policy ] || printf '0 prefix cap- -\\n0 ip br0 10.81.0.0/24\\n'\n";

class VmPublishTest : public VmServiceTest {
  protected:
    VmPublishTest() {
        fs::remove(daemon_->programs / "capsul-run");
        replace_file(daemon_->programs / "capsul-run", launcher_without_taps, 0755);
        replace_file(daemon_->programs / "capsul-net", helper, 0755);
        add(test::nat_network("lan", "10.80.0.0/24"));
        add(test::nat_network("six", "", "fd80::/64"));
        NetworkRecord pub = test::bridge_network("pub", "br0");
        pub.subnet = Cidr::parse("10.81.0.0/24");
        add(pub);
    }

    void add(const NetworkRecord& network) {
        make_folders(paths_.network(network.name));
        daemon_->store.networks.save(network);
    }

    VmCreate on(const std::vector<std::string>& networks) {
        VmCreate call = wanted("web");
        for (const std::string& network : networks) {
            call.networks.push_back(NicSpec{Name::parse(network), {}, {}, {}});
        }
        call.publish = {port_};
        call.start = false;
        return call;
    }

    [[nodiscard]] std::string text_of(const std::string& unit) const {
        const fs::path file = paths_.units / unit;
        return fs::exists(file) ? read_file(file) : "";
    }
    [[nodiscard]] std::string socket_text() const { return text_of("capsul-publish-web.socket"); }
    [[nodiscard]] std::string service_text() const { return text_of("capsul-publish-web.service"); }
    [[nodiscard]] std::string state_of(const std::string& unit) {
        return daemon_->systemd.status(unit).active_state;
    }

    const Name web_ = Name::parse("web");
    const std::uint16_t number_ = test::own_port(10); // above what config_of_this_process takes
    const PublishedPort port_ = PublishedPort::tcp("127.0.0.1", number_, 80);
};

TEST_F(VmPublishTest, WritesASocketForTheHostAndARelayToTheGuest) {
    run(on({"lan"}));
    EXPECT_THAT(socket_text(), HasSubstr(fmt::format("\nListenStream=127.0.0.1:{}\n", number_)));
    EXPECT_THAT(service_text(),
                HasSubstr(fmt::format("/capsul-relay 10.80.0.2 127.0.0.1:{}:80/tcp\n", number_)));
    EXPECT_THAT(text_of("capsul-vm-web.service"), HasSubstr("\nWants=capsul-publish-web.socket\n"));
}

TEST_F(VmPublishTest, LeadsToTheFirstNatNetworkAndByIpv4BeforeIpv6) {
    run(on({"pub", "six", "lan"}));
    EXPECT_THAT(service_text(), HasSubstr("/capsul-relay fd80::2 "));
}

TEST_F(VmPublishTest, IsQemusOwnWhereItHasANicOnUser) {
    run(on({"lan", "user"}));
    EXPECT_EQ(socket_text() + service_text(), "");
    EXPECT_THAT(text_of("capsul-vm-web.service"),
                HasSubstr("hostfwd=tcp:127.0.0.1:" + std::to_string(number_)));
}

TEST_F(VmPublishTest, RefusesAVmThatHasItsOwnAddressOnly) {
    const auto before = files_of_vms();
    const Error error = refusal([&] { run(on({"pub"})); });
    EXPECT_EQ(error.code(), ErrorCode::invalid);
    EXPECT_STREQ(error.what(), "vm web: its published ports need a NIC on `user` or on a nat network");
    EXPECT_THAT(error.hint(), HasSubstr("at its own address"));
    EXPECT_EQ(files_of_vms(), before);
}

TEST_F(VmPublishTest, TakesIpv6OfTheHostExceptFromQemu) {
    VmCreate call = on({"user"});
    call.publish = {PublishedPort::parse(fmt::format("[::]:{}:80", number_))};
    EXPECT_THAT(refusal([&] { run(call); }).what(), HasSubstr("IPv4 addresses only"));
    call.networks.front().network = Name::parse("lan");
    run(call);
    EXPECT_THAT(socket_text(),
                HasSubstr(fmt::format("\nListenStream=[::]:{}\nBindIPv6Only=ipv6-only\n", number_)));
}

TEST_F(VmPublishTest, NeverGivesAPortTwice) {
    run(on({"lan"}));
    VmCreate other = on({"user"});
    other.name = Name::parse("other");
    const Error error = refusal([&] { run(other); });
    EXPECT_EQ(error.code(), ErrorCode::in_use);
    EXPECT_THAT(error.what(), HasSubstr("belongs to another VM"));
}

TEST_F(VmPublishTest, RefusesAPortThatAnotherProgramHas) {
    const UniqueFd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(number_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // NOLINTNEXTLINE: the sockets API
    ASSERT_EQ(::bind(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::listen(other.get(), 1);
    const auto before = files_of_vms();
    VmCreate call = on({"lan"});
    call.start = true;
    const Error error = refusal([&] { run(call); });
    EXPECT_EQ(error.code(), ErrorCode::in_use);
    EXPECT_THAT(error.what(), HasSubstr("is taken by another program"));
    EXPECT_EQ(files_of_vms(), before);
}

TEST_F(VmPublishTest, OpensWithTheVmAndClosesBeforeAStopReturns) {
    VmCreate call = on({"lan"});
    call.start = true;
    EXPECT_FALSE(decode<Vm>(run(call)).unpublished);
    EXPECT_EQ(state_of("capsul-publish-web.socket"), "active");
    run(VmStop{web_, {}, true});
    EXPECT_EQ(state_of("capsul-publish-web.socket"), "inactive");
    run(VmStart{web_});
    run(VmKill{web_});
    EXPECT_EQ(state_of("capsul-publish-web.socket"), "inactive");
}

TEST_F(VmPublishTest, OfARunningVmThatAreClosedAreShownSoAndOpenedByStart) {
    VmCreate call = on({"lan"});
    call.start = true;
    run(call);
    daemon_->systemd.stop("capsul-publish-web.socket", 10s);
    EXPECT_THAT(decode<Vm>(ask(VmShow{web_})).unpublished.value_or(""),
                HasSubstr("capsul-publish-web.socket is inactive"));
    EXPECT_FALSE(decode<Vm>(run(VmStart{web_})).unpublished);
}

TEST_F(VmPublishTest, LeavesNothingBehindADeletedVm) {
    const auto before = files_of_vms();
    VmCreate call = on({"lan"});
    call.start = true;
    run(call);
    run(VmDelete{web_});
    EXPECT_EQ(state_of("capsul-publish-web.socket"), "inactive");
    std::set<std::string> left = files_of_vms();
    left.erase((paths_.units / "capsul-net-lan.service").string());
    EXPECT_EQ(left, before);
}

TEST_F(VmPublishTest, FollowsTheGuestsAddressAndKeepsTheNicThatItNeeds) {
    run(on({"lan", "six"}));
    const std::string socket = socket_text();
    run(VmNicRemove{web_, 0});
    EXPECT_THAT(service_text(), HasSubstr("/capsul-relay fd80::2 "));
    EXPECT_EQ(socket_text(), socket);
    const Error error = refusal([&] { run(VmNicRemove{web_, 1}); });
    EXPECT_EQ(error.code(), ErrorCode::invalid);
    EXPECT_EQ(daemon_->store.vms.load(web_).nics.size(), 1U);
    VmNicAdd again{web_, NicSpec{Name::parse("lan"), {}, {}, {}}};
    run(again); // in the slot that is free, the first
    EXPECT_THAT(service_text(), HasSubstr("/capsul-relay 10.80.0.2 "));
}

TEST_F(VmPublishTest, MovesToTheRelayWhenTheNicOnUserGoes) {
    run(on({"user", "lan"}));
    run(VmNicRemove{web_, 0});
    EXPECT_THAT(service_text(), HasSubstr("/capsul-relay 10.80.0.2 "));
    EXPECT_THAT(text_of("capsul-vm-web.service"), Not(HasSubstr("hostfwd")));
}

// What kill -9 in the middle of a deletion leaves, and what a disk that keeps no order does.
TEST_F(VmPublishTest, ASweepFindsUnitsWithoutAVm) {
    run(on({"lan"}));
    const auto before = files_of_vms();
    for (const char* unit :
         {"capsul-publish-ghost.socket", "capsul-publish-ghost.service", "capsul-tap-ghost.service"}) {
        replace_file(paths_.units / unit, seal("[Unit]\n"));
    }
    replace_file(paths_.units / "capsul-publish-mine.socket", "[Unit]\n# the user's own\n");
    daemon_->vms.recover();
    std::set<std::string> left = files_of_vms();
    EXPECT_EQ(left.erase((paths_.units / "capsul-publish-mine.socket").string()), 1U);
    EXPECT_EQ(left, before);
}

} // namespace
} // namespace capsul
