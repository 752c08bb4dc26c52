// Networks and TAPs going up and down: the units and scripts that capsul writes, run by a fake systemd. The
// helper that they call is made up, QEMU is real.
#include "tests/integration/vm_fixture.hpp"
#include "tests/network_records.hpp"

#include <gmock/gmock.h>

namespace capsul {
namespace {

using testing::HasSubstr;

/// Notes what it is asked, and refuses it with the exit status in refuse-WORD.
constexpr const char* helper = R"(#!/bin/sh
here=${0%/*}
[ "$1" != check-policy ] || { echo '0 prefix cap- -'; exit 0; }
echo "$*" >>"$here/asked"
[ ! -e "$here/refuse-$1" ] || { read -r status <"$here/refuse-$1"; exit "$status"; }
)";

/// An interface that every host has, in the place of one that capsul-net has made.
const InterfaceName present = InterfaceName::parse("lo");

class NetworkPowerTest : public VmServiceTest {
  protected:
    NetworkPowerTest() {
        fs::remove(daemon_->programs / "capsul-run");
        replace_file(daemon_->programs / "capsul-run", launcher_without_taps, 0755);
        replace_file(daemon_->programs / "capsul-net", helper, 0755);
        make_folders(paths_.network(lan_.name));
        lan_.bridge = present;
        daemon_->store.networks.save(lan_);
    }

    void refuse(const std::string& word, int status) {
        replace_file(daemon_->programs / ("refuse-" + word), std::to_string(status));
    }
    void allow(const std::string& word) { fs::remove(daemon_->programs / ("refuse-" + word)); }

    /// What the helper was asked since the last time.
    std::string asked() {
        const fs::path file = daemon_->programs / "asked";
        const std::string text = fs::exists(file) ? read_file(file) : "";
        fs::remove(file);
        return text;
    }

    /// With a NIC each on lan, whose TAPs are these.
    VmRecord add_vm(const std::vector<InterfaceName>& taps) {
        VmCreate call = wanted("web");
        call.start = false;
        call.networks.assign(taps.size(), NicSpec{lan_.name, {}, {}, {}});
        run(call);
        VmRecord vm = daemon_->store.vms.load(web_);
        for (std::size_t i = 0; i < taps.size(); ++i) {
            vm.nics[i].tap = taps[i];
        }
        daemon_->store.vms.save(vm);
        return vm;
    }

    [[nodiscard]] std::string state_of(const std::string& unit) {
        return daemon_->systemd.status(unit).active_state;
    }
    NetworkState state_of_lan() { return decode<Network>(ask(NetworkShow{lan_.name})).state; }

    NetworkRecord lan_ = test::nat_network("lan", "10.80.0.0/24");
    const Name web_ = Name::parse("web");
    const std::string tap_unit_ = tap_unit_name(web_);
};

TEST_F(NetworkPowerTest, ANetworkThatCannotBeTakenDownIsNotDeletedUntilItCan) {
    run(NetworkStart{lan_.name});
    refuse("bridge-del", 1);
    for (int i = 0; i < 2; ++i) {
        const Error error = refusal([&] { run(NetworkDelete{lan_.name}); });
        EXPECT_EQ(error.code(), ErrorCode::denied);
        EXPECT_THAT(error.what(), HasSubstr("network lan: cannot be taken down"));
        EXPECT_EQ(state_of_lan(), NetworkState::failed);
    }
    asked();
    allow("bridge-del");
    run(NetworkDelete{lan_.name});
    EXPECT_THAT(asked(), HasSubstr("bridge-del lo"));
    EXPECT_FALSE(daemon_->store.networks.exists(lan_.name));
    EXPECT_EQ(state_of(network_unit_name(lan_.name)), "inactive");
}

TEST_F(NetworkPowerTest, AStopThatFailsIsNoSuccess) {
    run(NetworkStart{lan_.name});
    refuse("bridge-del", 4);
    EXPECT_EQ(refusal([&] { run(NetworkStop{lan_.name}); }).code(), ErrorCode::not_capable);
    allow("bridge-del");
    run(NetworkStop{lan_.name});
    EXPECT_EQ(state_of_lan(), NetworkState::stopped);
}

TEST_F(NetworkPowerTest, WhatTheAdministratorHasTakenAwayIsNotMissed) {
    lan_.bridge = InterfaceName::parse("cap-none");
    daemon_->store.networks.save(lan_);
    run(NetworkStart{lan_.name});
    refuse("bridge-del", 1);
    run(NetworkDelete{lan_.name});
    EXPECT_FALSE(daemon_->store.networks.exists(lan_.name));
}

TEST_F(NetworkPowerTest, AFailedStartThatWasTakenDownIsDeleted) {
    refuse("egress", 4);
    EXPECT_EQ(refusal([&] { run(NetworkStart{lan_.name}); }).code(), ErrorCode::not_capable);
    asked();
    run(NetworkDelete{lan_.name});
    EXPECT_EQ(asked(), "") << "all was taken down when the start failed";
}

TEST_F(NetworkPowerTest, AVmWhoseTapStaysIsNotDeletedUntilItGoes) {
    add_vm({present});
    run(VmStart{web_});
    refuse("tap-del", 1);
    EXPECT_EQ(refusal([&] { run(VmDelete{web_}); }).code(), ErrorCode::denied);
    EXPECT_TRUE(daemon_->store.vms.exists(web_));
    EXPECT_TRUE(fs::exists(paths_.vm(web_) / "disk.qcow2"));
    allow("tap-del");
    asked();
    run(VmDelete{web_});
    EXPECT_THAT(asked(), HasSubstr("tap-del lo"));
    EXPECT_FALSE(daemon_->store.vms.exists(web_));
}

TEST_F(NetworkPowerTest, WhyAVmMayNotStartIsInTheCode) {
    add_vm({present});
    refuse("tap-add", 1);
    EXPECT_EQ(refusal([&] { run(VmStart{web_}); }).code(), ErrorCode::denied);
    refuse("tap-add", 4);
    EXPECT_EQ(refusal([&] { run(VmStart{web_}); }).code(), ErrorCode::not_capable);
}

TEST_F(NetworkPowerTest, AStartOfARunningNetworkSetsItAndItsVmsTapsUpAnew) {
    add_vm({present});
    run(VmStart{web_});
    asked();
    run(NetworkStart{lan_.name});
    const std::string said = asked();
    EXPECT_THAT(said, HasSubstr("bridge-add lo\n"));
    EXPECT_THAT(said, HasSubstr("tap-add lo lo "));
    EXPECT_LT(said.find("bridge-add"), said.find("tap-add"));
    refuse("egress", 1);
    EXPECT_EQ(refusal([&] { run(NetworkStart{lan_.name}); }).code(), ErrorCode::denied);
    EXPECT_EQ(state_of_lan(), NetworkState::running);
}

TEST_F(NetworkPowerTest, AVmsStartMakesABridgeAgainThatSomebodyHasRemoved) {
    lan_.bridge = InterfaceName::parse("cap-none");
    daemon_->store.networks.save(lan_);
    add_vm({present});
    run(NetworkStart{lan_.name});
    asked();
    run(VmStart{web_});
    EXPECT_THAT(asked(), HasSubstr("bridge-add cap-none\n"));
}

TEST_F(NetworkPowerTest, ANewDaemonDoesWhatARecordSaysThatACrashLeft) {
    run(NetworkStart{lan_.name});
    asked();
    lan_.egress = Egress::parse("none");
    daemon_->store.networks.save(lan_);
    daemon_ = std::make_unique<Daemon>(paths_);
    daemon_->networks.follow_records();
    const auto operations = daemon_->operations.list();
    ASSERT_EQ(operations.size(), 1U);
    finish(encode(operations[0]));
    EXPECT_THAT(asked(), HasSubstr("egress lo none\n"));
}

TEST_F(NetworkPowerTest, ANetworkThatIsDownStaysDownWhenADaemonStarts) {
    daemon_->networks.follow_records();
    EXPECT_TRUE(daemon_->operations.list().empty());
}

TEST_F(NetworkPowerTest, ANicTakenOutWhileTheVmStopsTakesItsTapAlong) {
    const std::string one = "cap-web-1";
    add_vm({present, InterfaceName::parse(one)});
    run(VmStart{web_});
    std::thread administrator([&] {
        static_cast<void>(
            daemon_->systemd.stop(vm_unit_name(web_), 60s)); // its BIOS does not hear the power button
    });
    wait_for_state(web_, VmState::stopping);
    run(VmNicRemove{web_, 1});
    asked();
    run(VmKill{web_});
    administrator.join();
    EXPECT_THAT(asked(), HasSubstr("tap-del cap-web-1\n"));
}

TEST_F(NetworkPowerTest, WithTheLastTapTheirUnitGoes) {
    add_vm({present});
    run(VmStart{web_});
    std::thread administrator([&] { static_cast<void>(daemon_->systemd.stop(vm_unit_name(web_), 60s)); });
    wait_for_state(web_, VmState::stopping);
    asked();
    run(VmNicRemove{web_, 0});
    EXPECT_THAT(asked(), HasSubstr("tap-del lo\n"));
    EXPECT_EQ(state_of(tap_unit_), "inactive");
    EXPECT_FALSE(fs::exists(paths_.units / tap_unit_));
    run(VmKill{web_});
    administrator.join();
}

TEST_F(NetworkPowerTest, ARemovalOfANicThatFailsCanBeTriedAgain) {
    add_vm({present});
    run(VmStart{web_});
    std::thread administrator([&] { static_cast<void>(daemon_->systemd.stop(vm_unit_name(web_), 60s)); });
    wait_for_state(web_, VmState::stopping);
    refuse("tap-del", 1);
    EXPECT_EQ(refusal([&] { run(VmNicRemove{web_, 0}); }).code(), ErrorCode::denied);
    EXPECT_EQ(daemon_->store.vms.load(web_).nics.size(), 1U);
    allow("tap-del");
    asked();
    run(VmNicRemove{web_, 0});
    EXPECT_THAT(asked(), HasSubstr("tap-del lo\n"));
    EXPECT_TRUE(daemon_->store.vms.load(web_).nics.empty());
    run(VmKill{web_});
    administrator.join();
}

TEST_F(NetworkPowerTest, ANewDaemonThatMakesABridgeAgainPlugsTheVmsIn) {
    lan_.bridge = InterfaceName::parse("cap-none");
    daemon_->store.networks.save(lan_);
    add_vm({present});
    run(VmStart{web_});
    asked();
    daemon_ = std::make_unique<Daemon>(paths_);
    daemon_->networks.follow_records();
    const auto operations = daemon_->operations.list();
    ASSERT_EQ(operations.size(), 1U);
    finish(encode(operations[0]));
    const std::string said = asked();
    EXPECT_THAT(said, HasSubstr("tap-add lo cap-none "));
    EXPECT_LT(said.find("bridge-add"), said.find("tap-add"));
}

TEST_F(NetworkPowerTest, AMaskedUnitIsNotReplaced) {
    add_vm({present});
    const fs::path unit = paths_.units / network_unit_name(lan_.name);
    fs::create_symlink("/dev/null", unit);
    EXPECT_EQ(refusal([&] { run(VmStart{web_}); }).code(), ErrorCode::wrong_state);
    EXPECT_EQ(fs::read_symlink(unit), "/dev/null");
    EXPECT_THAT(*decode<Network>(ask(NetworkShow{lan_.name})).reason, HasSubstr("systemctl --user unmask"));
}

TEST_F(NetworkPowerTest, ALinkThatLeadsElsewhereIsNotCapsuls) {
    const fs::path link = daemon_->host.units().wants_link(network_unit_name(lan_.name));
    fs::create_symlink("/etc/passwd", link);
    EXPECT_EQ(refusal([&] { run(NetworkStart{lan_.name}); }).code(), ErrorCode::exists);
    run(NetworkDelete{lan_.name});
    EXPECT_EQ(fs::read_symlink(link), "/etc/passwd");
}

TEST_F(NetworkPowerTest, HalfWrittenFilesOfANetworkAreSwept) {
    const fs::path network = paths_.network(lan_.name);
    make_folders(network / "peer/inbox");
    const fs::path of_capsul_peer = network / "peer/inbox/.host_b.json.Ab3dEf";
    replace_file(of_capsul_peer, "half");
    for (const char* const file : {".network.toml.Ab3dEf", "peer/.bundle.json.Ab3dEf"}) {
        replace_file(network / file, "half");
        daemon_->networks.sweep();
        EXPECT_FALSE(fs::exists(network / file)) << file;
    }
    EXPECT_TRUE(fs::exists(of_capsul_peer)) << "it may be at work";
    EXPECT_TRUE(daemon_->store.networks.exists(lan_.name));
}

} // namespace
} // namespace capsul
