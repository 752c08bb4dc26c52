// Backups of VMs: real QEMU, a guest without an operating system, an agent that does what a test wants.
#include "daemon/qemu_backup.hpp"
#include "tests/integration/backup_fixture.hpp"
#include "tests/integration/fake_agent.hpp"

#include <atomic>

namespace capsul {
namespace {

using test::agent_script;
using test::answer;
using test::FakePeer;
using test::Peer;

using Words = std::vector<std::string>;

/// An agent that notes what it is told, and does something before it answers.
class Agent {
  public:
    explicit Agent(const fs::path& socket, std::function<void(const std::string&)> before_answer = {})
        : before_answer_(std::move(before_answer)),
          peer_(socket, agent_script([this](Peer& peer, const Json& command) {
                    const std::string call = command["execute"].get<std::string>();
                    {
                        const std::lock_guard lock(mutex_);
                        told_.push_back(call);
                    }
                    if (before_answer_) {
                        before_answer_(call);
                    }
                    answer(peer, 1);
                })) {}
    Words told() {
        const std::lock_guard lock(mutex_);
        return told_;
    }

  private:
    const std::function<void(const std::string&)> before_answer_;
    std::mutex mutex_;
    Words told_;
    FakePeer peer_;
};

const Words frozen_and_thawed{"guest-fsfreeze-freeze", "guest-fsfreeze-thaw"};

class VmBackupRunningTest : public VmBackupTest {
  protected:
    void make_with_data() {
        make("web");
        run(VmDiskAdd{web_, Bytes::parse("8M"), DiskName::parse("data")});
        write_all(1);
    }

    void write_all(int byte) {
        write(web_, "root", byte);
        write(web_, "data", byte);
    }

    bool is_paused() { return decode<Vm>(ask(VmShow{web_})).state == VmState::paused; }

    /// What takes space in the file that QEMU has open there.
    long bytes_behind(int descriptor) {
        const int pid = decode<Vm>(ask(VmShow{web_})).pid.value();
        struct stat file {};
        EXPECT_EQ(::stat(fmt::format("/proc/{}/fd/{}", pid, descriptor).c_str(), &file), 0);
        return file.st_blocks * 512;
    }

    /// Neither jobs, nor nodes, nor descriptors of a backup are left in QEMU, nor a mark beside the disks.
    void expect_nothing_left() {
        const auto monitor = daemon_->monitors.connection(web_, 5s);
        EXPECT_EQ(monitor->execute("query-jobs"), Json::array());
        const std::string nodes = dump_json(monitor->execute("query-named-block-nodes", {{"flat", true}}));
        EXPECT_EQ(nodes.find("copy-"), std::string::npos) << nodes;
        for (const Json& set : monitor->execute("query-fdsets")) {
            for (const Json& descriptor : set.at("fds")) {
                EXPECT_TRUE(is_paused()) << "a descriptor is left behind";
                EXPECT_EQ(bytes_behind(descriptor.at("fd").get<int>()), 0) << "a copy is left behind";
            }
        }
        EXPECT_FALSE(fs::exists(paths_.vm(web_) / ".backup"));
    }
};

TEST_F(VmBackupRunningTest, IsOfTheMomentAtWhichTheGuestHeldStill) {
    make_with_data();
    Agent agent(socket_of(web_, "agent.sock"), [this](const std::string& call) {
        if (call == "guest-fsfreeze-thaw") {
            write_all(2); // the guest goes on, and so do the copies
        }
    });
    const auto before = kept();
    const BackedUp made = back_up(web_);
    EXPECT_EQ(made.consistency, Consistency::frozen);
    EXPECT_EQ(agent.told(), frozen_and_thawed);
    expect_nothing_left();
    EXPECT_TRUE(holds(web_, "root", 2));
    const std::string archive = fetched(made);
    EXPECT_EQ(kept(), before);
    change_host();
    EXPECT_EQ(restore(sent(archive)).consistency, Consistency::frozen);
    EXPECT_TRUE(has_byte(web_, "root", 1, "0"));
    EXPECT_TRUE(has_byte(web_, "data", 1, "0"));
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(VmBackupRunningTest, WithoutAnAgentItIsAsAfterAPowerCut) {
    make_with_data();
    EXPECT_EQ(back_up(web_).consistency, Consistency::crash);
    expect_nothing_left();
}

TEST_F(VmBackupRunningTest, AGuestThatStandsStillGoesOnStandingStill) {
    make_with_data();
    Agent agent(socket_of(web_, "agent.sock"));
    run(VmPause{web_});
    EXPECT_EQ(back_up(web_).consistency, Consistency::crash);
    EXPECT_EQ(agent.told(), Words{}) << "it could not do it";
    expect_nothing_left();
    EXPECT_TRUE(is_paused());
}

/// What hides the base must not be taken for what lets it through.
TEST_F(VmBackupRunningTest, ZerosOverTheBaseStayZeros) {
    fill_base(7);
    make("web");
    qemu_io(web_, "root", "write -z -u 1M 64k");
    qemu_io(web_, "root", "flush");
    const std::string archive = fetched(back_up(web_));
    change_host();
    restore(sent(archive));
    EXPECT_TRUE(has_byte(web_, "root", 0, "1M"));
    EXPECT_TRUE(has_byte(web_, "root", 7, "2M"));
}

TEST_F(VmBackupRunningTest, WhatItCannotBeginIsUndoneAndTheGuestGoesOn) {
    make_with_data();
    const auto before = kept();
    Agent agent(socket_of(web_, "agent.sock"), [this](const std::string& call) {
        if (call == "guest-fsfreeze-freeze") {
            daemon_->monitors.connection(web_, 5s)->execute("blockdev-del",
                                                            {{"node-name", "copy-disk-data"}});
        }
    });
    EXPECT_THROW(back_up(web_), Error);
    EXPECT_EQ(agent.told(), frozen_and_thawed);
    expect_nothing_left();
    EXPECT_EQ(kept(), before);
    EXPECT_TRUE(holds(web_, "root", 1));
}

TEST_F(VmBackupRunningTest, WhatFailsHalfWayIsUndone) {
    make_with_data();
    const auto before = kept();
    Agent agent(socket_of(web_, "agent.sock"), [this](const std::string& call) {
        if (call == "guest-fsfreeze-thaw") {
            try {
                daemon_->monitors.connection(web_, 5s)->execute("job-cancel", {{"id", "copy-disk-data"}});
            } catch (const Error&) {
                // It was quicker.
            }
        }
    });
    // Large enough to be under way still when it is cancelled.
    qemu_io(web_, "root", "write -P 5 0 60M");
    qemu_io(web_, "data", "write -P 5 0 8M");
    try {
        static_cast<void>(back_up(web_));
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::internal) << error.what();
        EXPECT_EQ(kept(), before);
    }
    expect_nothing_left();
}

TEST_F(VmBackupRunningTest, OfAVmThatStopsMeanwhileNothingIsLeft) {
    make_with_data();
    Agent agent(socket_of(web_, "agent.sock"), [this](const std::string& call) {
        if (call == "guest-fsfreeze-freeze") {
            daemon_->power.kill(web_);
        }
    });
    const Error error = refusal([&] { back_up(web_); });
    EXPECT_EQ(error.code(), ErrorCode::wrong_state) << error.what();
    EXPECT_TRUE(fs::is_empty(paths_.downloads()));
    EXPECT_FALSE(fs::exists(paths_.vm(web_) / ".backup"));
}

TEST_F(VmBackupRunningTest, WhatAKilledDaemonHadBegunIsUndone) {
    make_with_data();
    const std::vector<GuestDisk> disks = guest_disks(record(web_), daemon_->host.files(record(web_)));
    {
        const QemuBackup copies(daemon_->monitors.connection(web_, 5s));
        for (const GuestDisk& disk : disks) {
            const fs::path target = folder_.path() / disk.file.filename();
            ASSERT_EQ(run_process({"qemu-img", "create", "-q", "-f", "qcow2", target.string(),
                                   disk.name == root_disk ? "64M" : "8M"},
                                  10s)
                          .status,
                      0);
            copies.add_target(disk, target);
        }
        copies.begin(disks);
    }
    replace_file(paths_.vm(web_) / ".backup", "");
    replace_file(paths_.vm_runtime(web_) / "frozen", "");
    Agent agent(socket_of(web_, "agent.sock"));
    start_anew();
    run(VmPause{web_}); // queues behind what is left to do
    EXPECT_EQ(agent.told(), Words{"guest-fsfreeze-thaw"});
    expect_nothing_left();
    run(VmResume{web_});
    EXPECT_EQ(back_up(web_).consistency, Consistency::frozen);
}

/// Until the guest's agent answers, what is known of it is kept.
TEST_F(VmBackupRunningTest, AGuestThatCannotGoOnIsTriedAgainAtTheNextStart) {
    make("web");
    replace_file(paths_.vm(web_) / ".backup", "");
    replace_file(paths_.vm_runtime(web_) / "frozen", "");
    start_anew();
    run(VmPause{web_}); // queues behind what is left to do
    EXPECT_TRUE(fs::exists(paths_.vm(web_) / ".backup"));
    const std::vector<Operation> operations = daemon_->operations.list();
    ASSERT_TRUE(operations.front().error);
    EXPECT_NE(operations.front().error->to_error().hint().find("restart --force web"), std::string::npos);
    Agent agent(socket_of(web_, "agent.sock"));
    start_anew();
    run(VmResume{web_});
    EXPECT_EQ(agent.told(), Words{"guest-fsfreeze-thaw"});
    expect_nothing_left();
}

/// Also where nothing but the guest itself tells of it.
TEST_F(VmBackupRunningTest, AGuestThatWasLeftAtRestGoesOnWhenItsAgentAnswers) {
    make("web");
    const fs::path mark = paths_.vm_runtime(web_) / "frozen";
    replace_file(mark, "");
    daemon_->guest.thaw_left();
    run(VmPause{web_}); // queues behind that
    EXPECT_TRUE(fs::exists(mark)) << "its agent is silent";
    run(VmResume{web_});
    Agent agent(socket_of(web_, "agent.sock"));
    daemon_->guest.thaw_left();
    run(VmPause{web_});
    EXPECT_FALSE(fs::exists(mark));
    EXPECT_EQ(agent.told(), Words{"guest-fsfreeze-thaw"});
}

/// qemu-ga answers while it is frozen to nothing but thaw, as one does that cannot freeze.
TEST_F(VmBackupRunningTest, AGuestThatStandsStillIsNotTakenForOneThatCannot) {
    make("web");
    const fs::path mark = paths_.vm_runtime(web_) / "frozen";
    replace_file(mark, "");
    EXPECT_EQ(refusal([&] { back_up(web_); }).code(), ErrorCode::timeout);
    EXPECT_TRUE(fs::exists(mark));
    Agent agent(socket_of(web_, "agent.sock"));
    EXPECT_EQ(back_up(web_).consistency, Consistency::frozen);
    EXPECT_EQ(agent.told().front(), "guest-fsfreeze-thaw");
    EXPECT_FALSE(fs::exists(mark));
}

/// It is not in the way of what is done to the VM while the archive is written, but not before.
TEST_F(VmBackupRunningTest, WaitsForItsTurn) {
    make("web");
    std::atomic<bool> is_over = false;
    const Json busy = encode(submit_action(daemon_->host, "test", web_, [&](Progress&) {
        std::this_thread::sleep_for(300ms);
        is_over = true;
        return Json::object();
    }));
    static_cast<void>(back_up(web_));
    EXPECT_TRUE(is_over);
    finish(busy);
}

} // namespace
} // namespace capsul
