// Snapshots of VMs: real QEMU, a guest without an operating system, an agent that says what a test wants.
#include "daemon/disk_file.hpp"
#include "tests/integration/disk_contents.hpp"
#include "tests/integration/fake_agent.hpp"

namespace capsul {
namespace {

using test::agent_script;
using test::answer;
using test::FakePeer;
using test::Peer;
using test::refuse;

class VmSnapshotsTest : public VmDisksTest {
  protected:
    VmSnapshotCreate snapshot(const std::string& name) const { return {web_, Name::parse(name)}; }

    void restore(const std::string& name) { run(VmSnapshotRestore{web_, Name::parse(name)}); }

    void add_disk(const std::string& name) {
        run(VmDiskAdd{web_, Bytes::parse("8M"), DiskName::parse(name)});
    }

    std::vector<std::string> listed() {
        std::vector<std::string> names;
        for (const Snapshot& each : record(web_).snapshots) {
            names.push_back(each.name.to_string() + (each.finished ? "" : " unfinished"));
        }
        return names;
    }

    std::set<std::string> in_file(const std::string& disk) {
        for (const GuestDisk& each : guest_disks(record(web_), daemon_->host.files(record(web_)))) {
            if (each.name == disk) {
                return snapshots_in(each);
            }
        }
        return {};
    }

    void write_all(int byte) {
        write(web_, "root", byte);
        write(web_, "data", byte);
    }
};

using Words = std::vector<std::string>;

TEST_F(VmSnapshotsTest, BringsBackWhatAllDisksHeld) {
    make("web");
    add_disk("data");
    write_all(1);
    const auto made = decode<Snapshot>(run(snapshot("before")));
    EXPECT_FALSE(made.frozen) << "there is no agent";
    EXPECT_EQ(made.disks,
              (std::map<std::string, Bytes>{{"root", Bytes::parse("64M")}, {"data", Bytes::parse("8M")}}));
    write_all(2);
    const Error running = refusal([&] { restore("before"); });
    EXPECT_EQ(running.code(), ErrorCode::wrong_state);
    EXPECT_NE(running.hint().find("capsulctl stop web"), std::string::npos) << running.hint();
    stop(web_);
    EXPECT_TRUE(decode<Snapshot>(run(snapshot("after"))).frozen) << "nobody writes";
    restore("before");
    EXPECT_TRUE(holds(web_, "root", 1));
    EXPECT_TRUE(holds(web_, "data", 1));
    restore("after");
    EXPECT_TRUE(holds(web_, "root", 2));
    EXPECT_TRUE(holds(web_, "data", 2));
    EXPECT_EQ(listed(), (Words{"before", "after"}));
    EXPECT_EQ(in_file("root"), (std::set<std::string>{"before", "after"})) << "no way back is left";
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
    EXPECT_TRUE(holds(web_, "root", 2));
}

TEST_F(VmSnapshotsTest, BringsBackTheSizeToo) {
    make("web");
    write(web_, "root", 1);
    run(snapshot("small"));
    VmResize larger;
    larger.name = web_;
    larger.disk = NewSize::parse("128M");
    run(larger);
    stop(web_);
    run(snapshot("large"));
    restore("small");
    EXPECT_EQ(record(web_).disk, Bytes::parse("64M"));
    EXPECT_EQ(size_of_disk(file_of(web_, "root")), Bytes::parse("64M"));
    EXPECT_TRUE(holds(web_, "root", 1));
    restore("large");
    EXPECT_EQ(record(web_).disk, Bytes::parse("128M"));
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(VmSnapshotsTest, IsDeletedRunningAndStopped) {
    make("web");
    add_disk("data");
    run(snapshot("one"));
    run(snapshot("two"));
    run(VmSnapshotDelete{web_, Name::parse("one")});
    EXPECT_EQ(listed(), Words{"two"});
    stop(web_);
    EXPECT_EQ(in_file("root"), std::set<std::string>{"two"});
    EXPECT_EQ(in_file("data"), std::set<std::string>{"two"});
    run(VmSnapshotDelete{web_, Name::parse("two")});
    EXPECT_EQ(in_file("data"), std::set<std::string>{});
    EXPECT_EQ(refusal([&] { run(VmSnapshotDelete{web_, Name::parse("two")}); }).code(), ErrorCode::not_found);
}

TEST_F(VmSnapshotsTest, OfADiskThatCameLaterOrWentHoldsTheOthers) {
    make("web", false);
    add_disk("data");
    write_all(1);
    run(snapshot("before"));
    run(VmDiskRemove{web_, DiskName::parse("data")});
    add_disk("data");
    write_all(2);
    const auto restored = decode<Restored>(run(VmSnapshotRestore{web_, Name::parse("before")}));
    EXPECT_EQ(restored.untouched, std::vector<DiskName>{DiskName::parse("data")});
    EXPECT_TRUE(holds(web_, "root", 1));
    EXPECT_TRUE(holds(web_, "data", 2));
}

TEST_F(VmSnapshotsTest, RefusesWhatCannotBe) {
    make("web", false);
    run(snapshot("one"));
    EXPECT_EQ(refusal([&] { run(snapshot("one")); }).code(), ErrorCode::exists);
    EXPECT_EQ(refusal([&] { restore("none"); }).code(), ErrorCode::not_found);
    VmRecord vm = record(web_);
    while (vm.snapshots.size() < most_snapshots) {
        vm.snapshots.push_back(vm.snapshots.front());
        vm.snapshots.back().name = Name::parse(fmt::format("s{}", vm.snapshots.size()));
    }
    daemon_->store.vms.save(vm);
    EXPECT_EQ(refusal([&] { run(snapshot("more")); }).code(), ErrorCode::invalid);
}

TEST_F(VmSnapshotsTest, ANameIsMadeUp) {
    make("web", false);
    const auto first = decode<Snapshot>(run(VmSnapshotCreate{web_, {}}));
    const auto second = decode<Snapshot>(run(VmSnapshotCreate{web_, {}}));
    EXPECT_NE(first.name, second.name);
    EXPECT_TRUE(first.name.to_string().starts_with("s20")) << first.name.to_string();
}

/// An agent that notes what it is told.
class Agent {
  public:
    explicit Agent(const fs::path& socket)
        : peer_(socket, agent_script([this](Peer& peer, const Json& command) {
                    const std::string call = command["execute"].get<std::string>();
                    const std::lock_guard lock(mutex_);
                    told_.push_back(call);
                    answer(peer, 1);
                })) {}
    std::vector<std::string> told() {
        const std::lock_guard lock(mutex_);
        return told_;
    }

  private:
    std::mutex mutex_;
    std::vector<std::string> told_;
    FakePeer peer_;
};

TEST_F(VmSnapshotsTest, TheGuestHoldsStillMeanwhile) {
    make("web");
    Agent agent(socket_of(web_, "agent.sock"));
    EXPECT_TRUE(decode<Snapshot>(run(snapshot("one"))).frozen);
    EXPECT_EQ(agent.told(), (Words{"guest-fsfreeze-freeze", "guest-fsfreeze-thaw"}));
}

TEST_F(VmSnapshotsTest, AFailureIsUndoneAndTheGuestGoesOn) {
    make("web");
    add_disk("data");
    // The second disk has one of that name that the record does not know.
    daemon_->monitors.connection(web_, 5s)->execute("blockdev-snapshot-internal-sync",
                                                    {{"device", "disk-data"}, {"name", "one"}});
    Agent agent(socket_of(web_, "agent.sock"));
    EXPECT_THROW(run(snapshot("one")), Error);
    EXPECT_EQ(agent.told(), (Words{"guest-fsfreeze-freeze", "guest-fsfreeze-thaw"}));
    EXPECT_EQ(listed(), Words{});
    stop(web_);
    EXPECT_EQ(in_file("root"), std::set<std::string>{});
}

TEST_F(VmSnapshotsTest, AGuestThatAKilledDaemonFrozeGoesOn) {
    make("web");
    run(snapshot("whole"));
    VmRecord vm = record(web_);
    vm.snapshots.push_back(vm.snapshots.front());
    vm.snapshots.back().name = Name::parse("half");
    vm.snapshots.back().finished = false;
    daemon_->store.vms.save(vm);
    daemon_->monitors.connection(web_, 5s)->execute("blockdev-snapshot-internal-sync",
                                                    {{"device", "disk0"}, {"name", "half"}});
    replace_file(paths_.vm_runtime(web_) / "frozen", "");
    start_anew();
    run(VmPause{web_}); // queues behind what is left to do
    EXPECT_EQ(listed(), (Words{"whole", "half unfinished"})) << "its agent does not answer";
    Agent agent(socket_of(web_, "agent.sock"));
    start_anew();
    run(VmPause{web_}); // queues behind what is left to do
    EXPECT_EQ(agent.told(), Words{"guest-fsfreeze-thaw"});
    EXPECT_EQ(listed(), Words{"whole"});
    stop(web_);
    EXPECT_EQ(in_file("root"), std::set<std::string>{"whole"});
}

TEST_F(VmSnapshotsTest, ARestoreThatFailsHalfWayIsUndone) {
    make("web", false);
    add_disk("data");
    write_all(1);
    run(snapshot("before"));
    write_all(2);
    ASSERT_EQ(
        run_process({"qemu-img", "snapshot", "-d", "before", file_of(web_, "data").string()}, 10s).status, 0);
    EXPECT_THROW(restore("before"), Error);
    EXPECT_TRUE(holds(web_, "root", 2));
    EXPECT_TRUE(holds(web_, "data", 2));
    EXPECT_FALSE(record(web_).restoring);
    EXPECT_EQ(in_file("root"), std::set<std::string>{"before"});
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

/// A restore in the midst of which capsuld was killed.
class HalfRestoredTest : public VmSnapshotsTest {
  protected:
    /// Disks that hold 2, and a snapshot in which they hold 1.
    HalfRestoredTest() {
        make("web", false);
        add_disk("data");
        write_all(1);
        run(snapshot("before"));
        write_all(2);
        vm_ = record(web_);
        vm_.restoring = Name::parse("before");
        daemon_->store.vms.save(vm_);
        fs::rename(paths_.vm(web_) / "qemu.conf", paths_.vm(web_) / ".hidden-qemu.conf");
        for (const GuestDisk& disk : disks()) {
            make_snapshot(disk, "capsul.back");
        }
    }

    [[nodiscard]] std::vector<GuestDisk> disks() { return guest_disks(vm_, daemon_->host.files(vm_)); }

    void expect_all(int byte) {
        EXPECT_TRUE(holds(web_, "root", byte));
        EXPECT_TRUE(holds(web_, "data", byte));
        EXPECT_EQ(in_file("root"), std::set<std::string>{"before"}) << "no way back is left";
        EXPECT_EQ(in_file("data"), std::set<std::string>{"before"});
    }

    VmRecord vm_;
};

TEST_F(HalfRestoredTest, IsUndoneAtTheNextStart) {
    apply_snapshot(disks().front(), "before");
    const Error half_way = refusal([&] { run(VmStart{web_}); });
    EXPECT_EQ(half_way.code(), ErrorCode::wrong_state);
    EXPECT_NE(half_way.hint().find("snapshot restore web before"), std::string::npos) << half_way.hint();
    start_anew();
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
    stop(web_);
    expect_all(2);
}

TEST_F(HalfRestoredTest, IsFinishedWhenAllDisksHadArrived) {
    for (const GuestDisk& disk : disks()) {
        apply_snapshot(disk, "before");
    }
    vm_.restored = true;
    daemon_->store.vms.save(vm_);
    delete_snapshot(disks().front(), "capsul.back"); // the other one still has a way back
    start_anew();
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
    stop(web_);
    expect_all(1);
    EXPECT_FALSE(record(web_).restored);
}

TEST_F(HalfRestoredTest, IsUndoneBeforeItIsTriedAgain) {
    apply_snapshot(disks().front(), "before");
    delete_snapshot(disks().back(), "before"); // so the second try fails too
    EXPECT_THROW(restore("before"), Error);
    EXPECT_TRUE(holds(web_, "root", 2)) << "what it held before the first try";
    EXPECT_TRUE(holds(web_, "data", 2));
    EXPECT_FALSE(record(web_).restoring);
}

TEST_F(HalfRestoredTest, SystemdHasNothingToStartItWith) {
    VmNicRemove nic;
    nic.name = web_;
    nic.slot = vm_.nics.front().slot;
    EXPECT_EQ(refusal([&] { run(nic); }).code(), ErrorCode::wrong_state);
    EXPECT_EQ(refusal([&] {
                  run(VmNicAdd{web_, NicSpec{vm_.nics.front().network, {}, {}, {}}});
              }).code(),
              ErrorCode::wrong_state);
    EXPECT_FALSE(fs::exists(paths_.vm(web_) / "qemu.conf"));
}

} // namespace
} // namespace capsul
