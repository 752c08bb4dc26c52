// The VM noun from create to delete: real QEMU, started by a fake systemd that counts what it is asked.
#include "daemon/json_peer.hpp"
#include "daemon/process.hpp"
#include "daemon/routes.hpp"
#include "daemon/unit_file.hpp"
#include "daemon/vm_removal.hpp"
#include "lib/base64.hpp"
#include "lib/fd.hpp"
#include "tests/integration/fake_agent.hpp"
#include "tests/integration/vm_fixture.hpp"
#include "tests/integration/without_privilege.hpp"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;
using test::agent_script;
using test::answer;
using test::FakePeer;
using test::Peer;
using test::refuse;

TEST_F(VmServiceTest, CreatesStartsShowsAndDeletes) {
    const auto vm = decode<Vm>(run(wanted("web")));
    EXPECT_EQ(vm.state, VmState::running);
    EXPECT_TRUE(vm.enabled);
    EXPECT_TRUE(vm.pid.has_value());
    EXPECT_TRUE(fs::exists(paths_.vm_runtime(vm.name) / "qmp.sock"));
    EXPECT_EQ(check_seal(read_file(daemon_->host.unit_file(vm.name))), SealState::whole);
    run(VmDelete{vm.name});
    EXPECT_EQ(files_of_vms(), std::set<std::string>{});
    EXPECT_EQ(ask(VmList{}), Json::array());
    EXPECT_EQ(::kill(*vm.pid, 0), -1) << "QEMU is still there";
}

TEST_F(VmServiceTest, AThousandOthersCostNoReloadAndNoCallOfTheirOwn) {
    const auto calls_of_one = [&](const char* name) {
        systemd_.reset_calls();
        run(wanted(name));
        return systemd_.calls();
    };
    run(wanted("first")); // the connection itself costs calls too
    const auto alone = calls_of_one("alone");
    define_others(1000);
    const auto crowded = calls_of_one("crowded");
    EXPECT_EQ(alone, crowded);
    EXPECT_EQ(crowded.count("Reload"), 0U);
    EXPECT_EQ(crowded.at("StartUnit"), 1);
}

TEST_F(VmServiceTest, ListOfAThousandIsOneCall) {
    define_others(1000);
    systemd_.reset_calls();
    EXPECT_EQ(ask(VmList{}).size(), 1001U);
    EXPECT_EQ(systemd_.calls(), (std::map<std::string, int>{{"ListUnitsByPatterns", 1}}));
}

TEST_F(VmServiceTest, ActionsOnOneVmQueueInOrder) {
    run(wanted("web"));
    const Name name = Name::parse("web");
    const Json stop = ask(VmStop{name, {}, true});
    const Json start = ask(VmStart{name});
    EXPECT_EQ(decode<StopResult>(finish(stop)).how, StopKind::forced);
    EXPECT_EQ(decode<Vm>(finish(start)).state, VmState::running);
}

TEST_F(VmServiceTest, StopEscalatesAfterItsTimeoutAndSaysSo) {
    run(wanted("web")); // its BIOS does not hear the power button
    const auto result = decode<StopResult>(run(VmStop{Name::parse("web"), Duration(1s), false}));
    EXPECT_EQ(result.how, StopKind::forced);
    EXPECT_EQ(result.vm.state, VmState::stopped);
    EXPECT_FALSE(result.vm.enabled);
    EXPECT_EQ(decode<StopResult>(run(VmStop{Name::parse("web"), {}, false})).how, StopKind::already);
}

TEST_F(VmServiceTest, StopRefusesATimeoutLongerThanTheUnits) {
    run(wanted("web"));
    const Error error = refusal([&] { run(VmStop{Name::parse("web"), Duration(1h), false}); });
    EXPECT_EQ(error.code(), ErrorCode::invalid);
    EXPECT_EQ(decode<Vm>(ask(VmShow{Name::parse("web")})).state, VmState::running);
}

TEST_F(VmServiceTest, PauseIsKnownWithoutAskingQemu) {
    run(wanted("web"));
    EXPECT_EQ(decode<Vm>(run(VmPause{Name::parse("web")})).state, VmState::paused);
    const auto listed = decode<std::vector<Vm>>(ask(VmList{}));
    EXPECT_EQ(listed[0].state, VmState::paused);
    EXPECT_TRUE(listed[0].since) << "the list tells how long a VM is up";
    EXPECT_EQ(decode<Vm>(run(VmStart{Name::parse("web")})).state, VmState::running);
}

TEST_F(VmServiceTest, ANewDaemonFindsRunningAndPausedVms) {
    run(wanted("web"));
    run(VmPause{Name::parse("web")});
    const auto before = decode<Vm>(ask(VmShow{Name::parse("web")})).pid;
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(paths_);
    daemon_->vms.recover();
    EXPECT_EQ(decode<Vm>(run(VmWait{Name::parse("web"), VmStage::running, Duration(10s)})).pid, before);
    EXPECT_EQ(decode<std::vector<Vm>>(ask(VmList{}))[0].state, VmState::paused);
}

TEST_F(VmServiceTest, KillNeedsNoTurn) {
    run(wanted("web"));
    const Json stop = ask(VmStop{Name::parse("web"), Duration(60s), false});
    wait_for_state(Name::parse("web"), VmState::stopping); // it has its turn now, and holds it
    EXPECT_EQ(decode<Vm>(run(VmKill{Name::parse("web")})).state, VmState::stopped);
    EXPECT_EQ(decode<StopResult>(finish(stop)).how, StopKind::forced);
}

TEST_F(VmServiceTest, ACreationWhoseQemuFailsLeavesNothing) {
    auto image = daemon_->store.images.load(Name::parse("blank"));
    image.boot = DirectKernel{Digest::parse("sha256:" + std::string(64, 'b')), {}, "quiet"};
    replace_file(daemon_->images.kernel_path(image.boot->kernel), "no kernel at all");
    daemon_->store.images.save(image);
    const Error error = refusal([&] { run(wanted("web")); });
    EXPECT_NE(std::string(error.what()).find("vm web: QEMU did not start"), std::string::npos)
        << error.what();
    EXPECT_EQ(files_of_vms(), std::set<std::string>{});
}

TEST_F(VmServiceTest, ANicThatQemuDoesNotHaveIsTakenOut) {
    const auto vm = decode<Vm>(run(wanted("web")));
    VmRecord record = daemon_->store.vms.load(vm.name);
    Nic lost = record.nics.front();
    lost.slot = 1;
    record.nics.push_back(lost); // as a capsuld that was killed while it plugged it in leaves it
    daemon_->store.vms.save(record);
    run(VmNicRemove{vm.name, 1});
    EXPECT_EQ(daemon_->store.vms.load(vm.name).nics.size(), 1U);
}

TEST_F(VmServiceTest, RefusesWhatCannotBeAndChangesNothing) {
    run(wanted("web"));
    const auto before = files_of_vms();
    const auto refused = [&](auto change) {
        VmCreate call = wanted("other");
        change(call);
        return refusal([&] { run(call); }).code();
    };
    EXPECT_EQ(refused([](VmCreate& call) { call.name = Name::parse("web"); }), ErrorCode::exists);
    EXPECT_EQ(refused([](VmCreate& call) { call.image = Name::parse("none"); }), ErrorCode::not_found);
    EXPECT_EQ(refused([](VmCreate& call) { call.networks = {NicSpec::from_text("none")}; }),
              ErrorCode::not_found);
    EXPECT_EQ(refused([](VmCreate& call) { call.memory = Bytes::parse("1M"); }), ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.memory = Bytes::parse("1000T"); }), ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.disk = Bytes::parse("1M"); }), ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.disk = Bytes::parse("100T"); }), ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.user_data = "hello"; }), ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.init_script = "echo"; }), ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.labels = {{"a=b", ""}}; }), ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.publish = {PublishedPort::parse("[::1]:1:1")}; }),
              ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) {
                  call.publish = {PublishedPort::parse("9:1"), PublishedPort::parse("9:2")};
              }),
              ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) {
                  for (int port = 30000; port < 30257; ++port) {
                      call.publish.push_back(PublishedPort::parse(fmt::format("{}:80", port)));
                  }
              }),
              ErrorCode::invalid);
    EXPECT_EQ(refused([](VmCreate& call) { call.publish = {PublishedPort::parse("192.0.2.1:8080:80")}; }),
              ErrorCode::invalid);
    EXPECT_EQ(files_of_vms(), before);
}

TEST_F(VmServiceTest, AUnitOfSomebodyElsesIsNotTakenOver) {
    const auto expect_refused = [&](const char* unit, const auto& call) {
        const fs::path file = paths_.units / unit;
        replace_file(file, "[Service]\nExecStart=/bin/true\n");
        const auto before = files_of_vms();
        const Error error = refusal([&] { run(call); });
        EXPECT_EQ(error.code(), ErrorCode::exists) << unit;
        EXPECT_NE(std::string(error.what()).find(file.string()), std::string::npos) << error.what();
        EXPECT_EQ(files_of_vms(), before);
        EXPECT_EQ(read_file(file), "[Service]\nExecStart=/bin/true\n");
        fs::remove(file);
    };
    for (const char* const unit : {"capsul-vm-web.service", "capsul-tap-web.service",
                                   "capsul-publish-web.socket", "capsul-publish-web.service"}) {
        expect_refused(unit, wanted("web"));
    }
    NetworkCreate lan;
    lan.name = Name::parse("lan");
    for (const char* const unit : {"capsul-net-lan.service", "capsul-dhcp-lan.service"}) {
        expect_refused(unit, lan);
    }
}

TEST_F(VmServiceTest, RefusesAPortThatAnotherVmOrProgramHas) {
    VmCreate first = wanted("first");
    first.publish = {own_publish(11)};
    first.start = false;
    run(first);
    const auto before = files_of_vms();
    VmCreate second = wanted("second");
    second.publish = {own_publish(11, "0.0.0.0:")};
    EXPECT_EQ(refusal([&] { run(second); }).code(), ErrorCode::in_use);
    const UniqueFd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    // NOLINTBEGIN: the sockets API
    ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(taken.get(), 1), 0);
    ASSERT_EQ(::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    // NOLINTEND
    second.publish = {PublishedPort::tcp("127.0.0.1", ntohs(address.sin_port), 80)};
    EXPECT_EQ(refusal([&] { run(second); }).code(), ErrorCode::in_use);
    EXPECT_EQ(files_of_vms(), before);
}

TEST_F(VmServiceTest, AStartWaitsForAStopThatIsUnderWay) {
    VmCreate call = wanted("web"); // its BIOS does not hear the power button
    call.stop_timeout = Duration(10s);
    const auto before = decode<Vm>(run(call)).pid;
    EXPECT_EQ(refusal([&] { daemon_->systemd.stop("capsul-vm-web.service", 1ms); }).code(),
              ErrorCode::timeout);
    wait_for_state(*call.name, VmState::stopping);
    const auto after = decode<Vm>(run(VmStart{Name::parse("web")}));
    EXPECT_EQ(after.state, VmState::running);
    EXPECT_NE(after.pid, before);
}

TEST_F(VmServiceTest, WhatSystemdTellsLateOfAFailedRunIsNotTheEndOfTheNext) {
    ASSERT_EQ(::kill(decode<Vm>(run(wanted("web"))).pid.value(), SIGKILL), 0);
    ASSERT_TRUE(daemon_->systemd.wait_until_stopped("capsul-vm-web.service", 20s));
    ASSERT_EQ(decode<Vm>(ask(VmShow{Name::parse("web")})).state, VmState::failed);
    systemd_.tell_resets_late();
    daemon_->monitors.adopt(Name::parse("nobody")); // its thread is busy: the start itself has to connect
    EXPECT_EQ(decode<Vm>(run(VmStart{Name::parse("web")})).state, VmState::running);
}

TEST_F(VmServiceTest, AUnitThatSystemdCannotUseIsBrokenWithItsReason) {
    VmCreate call = wanted("web");
    call.start = false;
    run(call);
    const fs::path unit = daemon_->host.unit_file(Name::parse("web"));
    const std::string text = read_file(unit);
    const auto shown = [&] { return decode<Vm>(ask(VmShow{Name::parse("web")})); };
    const auto listed = [&] { return decode<std::vector<Vm>>(ask(VmList{})).at(0); };
    const auto expect_broken = [](const Vm& vm, const std::string& reason) {
        EXPECT_EQ(vm.state, VmState::broken);
        EXPECT_NE(vm.reason.value_or("").find(reason), std::string::npos) << vm.reason.value_or("");
    };
    replace_file(unit, text.substr(0, text.size() / 2));
    expect_broken(shown(), "cut short");
    replace_file(unit, "# mine\n" + seal("[Service]\nType=exec\n"));
    expect_broken(shown(), "bad-setting");
    replace_file(unit, "");
    expect_broken(shown(), "empty");
    expect_broken(listed(), "empty");
    fs::remove(unit);
    expect_broken(shown(), "missing");
    expect_broken(listed(), "missing");
    fs::create_symlink("/dev/null", unit);
    expect_broken(shown(), "masked");
    expect_broken(listed(), "masked");
    const Error error = refusal([&] { run(VmStart{Name::parse("web")}); });
    EXPECT_EQ(error.code(), ErrorCode::wrong_state);
    EXPECT_NE(error.hint().find("unmask capsul-vm-web.service"), std::string::npos) << error.hint();
    EXPECT_FALSE(shown().enabled);
    fs::remove(unit);
    EXPECT_EQ(decode<Vm>(run(VmStart{Name::parse("web")})).state, VmState::running);
    EXPECT_EQ(read_file(unit), text);
}

TEST_F(VmServiceTest, ImagesCanBeRemovedWhileAVmStarts) {
    add_image("other");
    const fs::path go = folder_.path() / "go";
    make_folders(daemon_->host.unit_file(Name::parse("web")).string() + ".d");
    replace_file(daemon_->host.unit_file(Name::parse("web")).string() + ".d/slow.conf",
                 fmt::format("[Service]\nExecStartPre=/bin/sh -c \"until [ -e {} ]; do sleep 0.05; done\"\n",
                             go.string()));
    const Json creation = ask(wanted("web"));
    const auto is_over = [&] { return daemon_->operations.show(decode<Operation>(creation).id).finished(); };
    while (!daemon_->store.vms.exists(Name::parse("web")) && !is_over()) {
        std::this_thread::sleep_for(10ms);
    }
    run(ImageRemove{Name::parse("other")});
    EXPECT_EQ(refusal([&] { run(ImageRemove{Name::parse("blank")}); }).code(), ErrorCode::in_use);
    EXPECT_FALSE(is_over());
    replace_file(go, "");
    EXPECT_EQ(decode<Vm>(finish(creation)).state, VmState::running);
}

TEST_F(VmServiceTest, AVmKeepsTheAliasItWasAskedForAndTheImageItGot) {
    run(ImageTag{Name::parse("stable"), Name::parse("blank")});
    VmCreate call = wanted("web");
    call.image = Name::parse("stable");
    call.start = false;
    run(call);
    ImageRecord newer = daemon_->store.images.load(Name::parse("blank"));
    newer.name = Name::parse("newer");
    newer.digest = Digest::parse("sha256:" + std::string(64, 'b'));
    fs::copy_file(daemon_->images.disk_path(Digest::parse("sha256:" + std::string(64, 'a'))),
                  daemon_->images.disk_path(newer.digest));
    daemon_->store.images.save(newer);
    run(ImageTag{Name::parse("stable"), newer.name});
    const VmRecord vm = daemon_->store.vms.load(Name::parse("web"));
    EXPECT_EQ(vm.image, Name::parse("stable"));
    EXPECT_EQ(vm.image_digest, Digest::parse("sha256:" + std::string(64, 'a')));
    EXPECT_EQ(decode<Image>(ask(ImageShow{Name::parse("blank")})).vms, std::vector{vm.name});
    EXPECT_EQ(decode<Vm>(run(VmStart{vm.name})).state, VmState::running);
}

TEST_F(VmServiceTest, AnImageIsUnusedFromWhenItsLastVmGoes) {
    const Name blank = Name::parse("blank");
    VmCreate call = wanted("web");
    call.start = false;
    run(call);
    EXPECT_FALSE(decode<Image>(ask(ImageShow{blank})).unused_since);
    ImageRecord image = daemon_->store.images.load(blank);
    image.imported = Timestamp::parse("2026-01-01T00:00:00Z");
    daemon_->store.images.save(image);
    fs::last_write_time(daemon_->images.disk_path(image.digest), fs::file_time_type::clock::now() - 24h * 60);
    const Timestamp before(Timestamp::now().value() - 1s); // the clock of file times is a little late
    run(VmDelete{*call.name});
    EXPECT_GE(decode<Image>(ask(ImageShow{blank})).unused_since, before);
}

TEST_F(VmServiceTest, ABrokenVmIsListedAndDoesNotStopTheRest) {
    VmCreate call = wanted("good");
    call.start = false;
    run(call);
    make_folders(paths_.vm(Name::parse("bad")));
    replace_file(paths_.vm(Name::parse("bad")) / "vm.toml", "format = \"x\"\n");
    const auto vms = decode<std::vector<Vm>>(ask(VmList{}));
    ASSERT_EQ(vms.size(), 2U);
    EXPECT_EQ(vms[0].state, VmState::broken);
    EXPECT_NE(vms[0].reason->find("vm.toml:1"), std::string::npos) << *vms[0].reason;
    EXPECT_EQ(vms[1].state, VmState::stopped);
    EXPECT_FALSE(vms[1].since);
    run(VmDelete{Name::parse("bad")});
    EXPECT_EQ(ask(VmList{}).size(), 1U);
}

TEST_F(VmServiceTest, RecoveryRemovesWhatACrashLeft) {
    VmCreate call = wanted("whole");
    call.start = false;
    run(call);
    const auto before = files_of_vms();
    const auto leave = [&](const std::string& folder, const std::string& vm) {
        make_folders(paths_.vms() / folder);
        replace_file(paths_.vms() / folder / "disk.qcow2", "half");
        replace_file(paths_.units / ("capsul-vm-" + vm + ".service"), "[Service]\n");
        fs::create_symlink(paths_.units / ("capsul-vm-" + vm + ".service"),
                           paths_.wants() / ("capsul-vm-" + vm + ".service"));
    };
    leave("half-made", "half-made");
    leave(".deleted-half-gone", "half-gone");
    replace_file(paths_.vms() / "whole/.qemu.conf.a1B2c3", "half");
    make_folders(paths_.vms() / "Not Ours");
    daemon_->vms.recover();
    EXPECT_TRUE(fs::remove(paths_.vms() / "Not Ours")) << "a folder that is no VM's was touched";
    EXPECT_EQ(files_of_vms(), before);
}

TEST_F(VmServiceTest, RecoveryTakesNothingFromAVmThatRunsWithoutItsRecord) {
    const auto vm = decode<Vm>(run(wanted("web")));
    const fs::path record = paths_.vm(vm.name) / "vm.toml";
    const fs::path aside = folder_.path() / "vm.toml";
    fs::rename(record, aside);
    const auto before = files_of_vms();
    daemon_.reset();
    daemon_ = std::make_unique<Daemon>(paths_);
    daemon_->vms.recover();
    EXPECT_EQ(files_of_vms(), before);
    fs::rename(aside, record);
    EXPECT_EQ(decode<Vm>(ask(VmShow{vm.name})).pid, vm.pid);
    run(VmDelete{vm.name});
    EXPECT_EQ(files_of_vms(), std::set<std::string>{});
}

TEST_F(VmServiceTest, RecoveryPassesOverWhatItCannotLookInto) {
    for (const char* name : {"locked", "lost+found", "half-made"}) {
        make_folders(paths_.vms() / name);
    }
    make_folders(folder_.path() / "disk");
    fs::create_symlink(folder_.path() / "disk", paths_.vms() / "elsewhere");
    replace_file(paths_.vms() / "a-file", "");
    fs::permissions(paths_.vms() / "locked", fs::perms::none);
    fs::permissions(paths_.vms() / "lost+found", fs::perms::none);
    test::without_privilege([&] { EXPECT_NO_THROW(daemon_->vms.recover()); });
    EXPECT_FALSE(fs::exists(paths_.vms() / "half-made"));
    for (const char* name : {"locked", "lost+found", "elsewhere", "a-file"}) {
        EXPECT_TRUE(fs::exists(paths_.vms() / name)) << name;
    }
    for (const char* name : {"locked", "lost+found"}) { // only root could remove them
        fs::permissions(paths_.vms() / name, fs::perms::owner_all);
    }
}

TEST_F(VmServiceTest, RecoveryRemovesOurUnitsThatHaveNoVm) {
    run(wanted("up"));
    const auto before = files_of_vms();
    const std::string text = read_file(daemon_->host.unit_file(Name::parse("up")));
    const auto leave = [&](const std::string& file, const std::string& content) {
        replace_file(paths_.units / file, content);
        fs::create_symlink(paths_.units / file, paths_.wants() / file);
    };
    leave("capsul-vm-gone.service", text);
    fs::create_symlink(paths_.units / "capsul-vm-gone-too.service",
                       paths_.wants() / "capsul-vm-gone-too.service");
    daemon_->vms.recover();
    EXPECT_EQ(files_of_vms(), before);

    leave("capsul-vm-edited.service", "# mine\n" + text);
    leave("capsul-vm-foreign.service", "[Service]\nExecStart=/bin/true\n");
    fs::remove_all(paths_.vm(Name::parse("up")));
    const auto not_ours = files_of_vms();
    daemon_->vms.recover();
    EXPECT_EQ(files_of_vms(), not_ours) << "edited, foreign or running units are left alone";
}

TEST_F(VmServiceTest, RecoveryRemovesNoUnitWhileTheDiskOfAllVmsIsAway) {
    VmCreate call = wanted("web");
    call.start = false;
    run(call);
    fs::rename(paths_.vms(), folder_.path() / "away");
    daemon_->vms.recover();
    EXPECT_TRUE(fs::exists(daemon_->host.unit_file(Name::parse("web"))));
}

TEST_F(VmServiceTest, ADeletionThatTheDiskRefusesIsNoSuccess) {
    VmCreate call = wanted("web");
    call.start = false;
    run(call);
    const auto before = files_of_vms();
    fs::permissions(paths_.vms(), fs::perms::owner_read | fs::perms::owner_exec);
    test::without_privilege([&] {
        EXPECT_EQ(refusal([&] { remove_vm_files(daemon_->host, Name::parse("web")); }).code(),
                  ErrorCode::denied);
    });
    fs::permissions(paths_.vms(), fs::perms::owner_all);
    EXPECT_EQ(files_of_vms(), before);
    EXPECT_EQ(decode<Vm>(ask(VmShow{Name::parse("web")})).state, VmState::stopped);
}

TEST_F(VmServiceTest, AUnitEditedByHandIsLeftAlone) {
    VmCreate call = wanted("web");
    call.start = false;
    run(call);
    const fs::path unit = daemon_->host.unit_file(Name::parse("web"));
    std::string text = read_file(unit);
    text.replace(text.find("CPUWeight=100"), 13, "CPUWeight=200");
    replace_file(unit, text);
    run(VmStart{Name::parse("web")});
    EXPECT_EQ(read_file(unit), text);
}

TEST_F(VmServiceTest, ATornUnitIsWrittenAnewBeforeItRuns) {
    VmCreate call = wanted("web");
    call.start = false;
    run(call);
    const fs::path unit = daemon_->host.unit_file(Name::parse("web"));
    const std::string text = read_file(unit);
    replace_file(unit, text.substr(0, text.find(" -readconfig")) + "\n");
    run(VmStart{Name::parse("web")});
    EXPECT_EQ(read_file(unit), text);
}

TEST_F(VmServiceTest, AWaitInVainTellsTheLastSerialLines) {
    run(wanted("web"));
    replace_file(paths_.vm(Name::parse("web")) / "serial.log", "one\nlast words\n");
    const Error error = refusal([&] { run(VmWait{Name::parse("web"), VmStage::agent, Duration(1s)}); });
    EXPECT_EQ(error.code(), ErrorCode::timeout);
    EXPECT_NE(error.hint().find("last words"), std::string::npos) << error.hint();
}

TEST_F(VmServiceTest, AWaitForAVmThatEndsDoesNotWaitOn) {
    run(wanted("web"));
    const Json wait = ask(VmWait{Name::parse("web"), VmStage::agent, Duration(60s)});
    run(VmKill{Name::parse("web")});
    EXPECT_EQ(refusal([&] { finish(wait); }).code(), ErrorCode::wrong_state);
}

TEST_F(VmServiceTest, AWaitForAStoppedVmSaysHowToStartIt) {
    run(wanted("web"));
    run(VmKill{Name::parse("web")});
    const Error error = refusal([&] { run(VmWait{Name::parse("web"), VmStage::agent, Duration(60s)}); });
    EXPECT_STREQ(error.what(), "vm web: is stopped, so that will not come");
    EXPECT_TRUE(error.hint().starts_with("`capsulctl start web` starts it")) << error.hint();
}

/// A guest's files as its agent gives them; any command there ends with "user:x:1000:".
std::function<void(Peer&)> guest_with_files(std::map<std::string, std::string> files) {
    return agent_script([files = std::move(files), open = std::string()](Peer& peer,
                                                                         const Json& command) mutable {
        const std::string call = command["execute"].get<std::string>();
        if (call == "guest-file-open") {
            open = command["arguments"]["path"].get<std::string>();
            files.contains(open) ? answer(peer, 1) : refuse(peer, "No such file or directory");
        } else if (call == "guest-file-read") {
            answer(peer, {{"buf-b64", base64_encode(files[open])}, {"eof", true}});
        } else if (call == "guest-exec") {
            answer(peer, {{"pid", 1}});
        } else {
            answer(peer, {{"exited", true}, {"exitcode", 0}, {"out-data", base64_encode("user:x:1000:")}});
        }
    });
}

TEST_F(VmServiceTest, WhileACommandRunsItsGuestAnswersOthers) {
    run(wanted("web"));
    const Name web = Name::parse("web");
    std::atomic<bool> over = false;
    std::atomic<int> started = 0;
    const FakePeer guest(socket_of(web, "agent.sock"), agent_script([&](Peer& peer, const Json& command) {
                             if (command["execute"] == "guest-exec") {
                                 answer(peer, {{"pid", ++started}});
                             } else if (command["execute"] == "guest-exec-status") {
                                 const int pid = command["arguments"]["pid"].get<int>();
                                 over ? answer(peer, {{"exited", true}, {"exitcode", pid}})
                                      : answer(peer, {{"exited", false}});
                             } else {
                                 answer(peer, Json::parse(R"([{"name": "eth0", "ip-addresses":
                                     [{"ip-address": "10.0.2.15", "prefix": 24}]}])"));
                             }
                         }));
    const Json first = ask(VmExec{web, {"sleep"}, "", Duration(60s)});
    const Json second = ask(VmExec{web, {"sleep"}, "", Duration(60s)});
    while (started < 2) {
        std::this_thread::sleep_for(10ms);
    }
    EXPECT_EQ(decode<VmAddresses>(run(VmIp{web})).guest, std::vector<std::string>{"10.0.2.15/24"});
    run(VmWait{web, VmStage::agent, Duration(10s)});
    EXPECT_EQ(refusal([&] { run(VmExec{web, {"sleep"}, "", Duration(1s)}); }).code(), ErrorCode::timeout);
    over = true;
    EXPECT_EQ(decode<ExecResult>(finish(first)).exit_code + decode<ExecResult>(finish(second)).exit_code,
              1 + 2);
}

TEST_F(VmServiceTest, TheAgentStaysConnectedWhileACommandRuns) {
    run(wanted("web"));
    const Name web = Name::parse("web");
    std::atomic<int> connections = 0;
    int looks = 0; // the agent's thread's alone
    const auto talk = agent_script([&](Peer& peer, const Json& command) {
        if (command["execute"] == "guest-exec") {
            answer(peer, {{"pid", 1}});
        } else {
            ++looks < 10 ? answer(peer, {{"exited", false}})
                         : answer(peer, {{"exited", true}, {"exitcode", 0}});
        }
    });
    const FakePeer guest(socket_of(web, "agent.sock"), [&](Peer& peer) {
        ++connections;
        talk(peer);
    });
    run(VmExec{web, {"make"}, "", Duration(60s)});
    EXPECT_EQ(connections, 1);
    looks = 0;
    run(VmExec{web, {"make"}, "", Duration(60s)});
    EXPECT_EQ(connections, 2) << "when nothing runs, the socket is free for others";
}

TEST_F(VmServiceTest, ACommandIsNotWaitedForWhenTheDaemonStops) {
    run(wanted("web"));
    const Name web = Name::parse("web");
    std::atomic<bool> stopping = false;
    const FakePeer guest(socket_of(web, "agent.sock"), agent_script([&](Peer& peer, const Json& command) {
                             stopping = command["execute"] == "guest-exec-status";
                             stopping ? answer(peer, {{"exited", false}}) : answer(peer, {{"pid", 1}});
                         }));
    Progress progress([](const std::string&) {}, [](int) {}, stopping);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(refusal([&] {
                  static_cast<void>(daemon_->guest.exec({web, {"sleep"}, "", Duration(1h)}, progress));
              }).code(),
              ErrorCode::unreachable);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 60s);
}

TEST_F(VmServiceTest, ASilentGuestHoldsUpNobody) {
    run(wanted("web"));
    const Name web = Name::parse("web");
    const FakePeer guest(socket_of(web, "agent.sock"), [](Peer& peer) { peer.wait_for_end(); });
    auto quickest =
        std::chrono::steady_clock::duration::max(); // of three rounds: other tests run beside this one
    Json addresses;
    Json target;
    for (int round = 0; round < 3; ++round) {
        const auto begin = std::chrono::steady_clock::now();
        addresses = ask(VmIp{web});
        target = ask(VmSsh{web});
        EXPECT_EQ(ask(VmList{}).size(), 1U);
        quickest = std::min(quickest, std::chrono::steady_clock::now() - begin);
    }
    EXPECT_LT(quickest, 900ms) << "a handler has waited for the guest";
    const auto found = decode<VmAddresses>(finish(addresses));
    EXPECT_TRUE(found.ssh);
    EXPECT_TRUE(found.guest.empty());
    EXPECT_EQ(refusal([&] { finish(target); }).code(), ErrorCode::timeout);
}

TEST_F(VmServiceTest, AHostKeyThatIsNoneIsPassedOver) {
    run(wanted("web"));
    const Name web = Name::parse("web");
    const FakePeer guest(socket_of(web, "agent.sock"),
                         guest_with_files({{"/etc/ssh/ssh_host_ed25519_key.pub", "not a key\n"},
                                           {"/etc/ssh/ssh_host_ecdsa_key.pub", std::string(20000, 'x')},
                                           {"/etc/ssh/ssh_host_rsa_key.pub",
                                            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ root@web\n"}}));
    const auto target = decode<SshTarget>(run(VmSsh{web}));
    EXPECT_EQ(target.host_keys, std::vector<std::string>{"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ root@web"});
    EXPECT_EQ(target.user, "user");
}

TEST_F(VmServiceTest, WhatCloudInitLeftIsNotTheCallersMistake) {
    run(wanted("web"));
    const Name web = Name::parse("web");
    const auto outcome = [&](const std::string& result) {
        const FakePeer guest(socket_of(web, "agent.sock"),
                             guest_with_files({{"/run/cloud-init/result.json", result}}));
        return refusal([&] { run(VmWait{web, VmStage::cloud_init, Duration(10s)}); });
    };
    for (const std::string& result : {std::string("[]"), std::string("7"), std::string("not JSON"),
                                      std::string(R"({"v1": {"errors": "x"}})"), std::string(70'000, ' ')}) {
        EXPECT_EQ(outcome(result).code(), ErrorCode::internal) << result.substr(0, 50);
    }
    const Error error = outcome(R"({"v1": {"errors": ["no such \u001b[31mmodule"]}})");
    EXPECT_EQ(error.code(), ErrorCode::wrong_state);
    EXPECT_NE(std::string(error.what()).find("no such"), std::string::npos) << error.what();
    const FakePeer guest(socket_of(web, "agent.sock"),
                         guest_with_files({{"/run/cloud-init/result.json", R"({"v1": {"errors": []}})"}}));
    run(VmWait{web, VmStage::cloud_init, Duration(10s)});
}

TEST_F(VmServiceTest, AConsoleThatQemuDoesNotServeIsAnErrorAtOnce) {
    const auto vm = decode<Vm>(run(wanted("web")));
    const sockaddr_un address = unix_address(socket_of(vm.name, "console.sock"));
    const UniqueFd hung(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    // NOLINTNEXTLINE(*-reinterpret-cast): the sockets API
    ASSERT_EQ(::bind(hung.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(hung.get(), 1), 0);
    std::vector<UniqueFd> waiting; // until the listener's queue is full
    EXPECT_THROW(
        while (waiting.size() < 100) {
            waiting.push_back(
                connect_peer(paths_.vm_runtime(vm.name) / "console.sock", std::chrono::steady_clock::now()));
        },
        Error);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(refusal([&] { static_cast<void>(daemon_->guest.console(vm.name)); }).code(),
              ErrorCode::timeout);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_F(VmServiceTest, TheConsoleIsForOneAtATime) {
    run(wanted("web"));
    {
        const TunnelResponse first = daemon_->guest.console(Name::parse("web"));
        EXPECT_EQ(refusal([&] { static_cast<void>(daemon_->guest.console(Name::parse("web"))); }).code(),
                  ErrorCode::in_use);
    }
    static_cast<void>(daemon_->guest.console(Name::parse("web")));
}

TEST_F(VmServiceTest, ASerialLogThatGrowsIsCutToItsEnd) {
    run(wanted("web"));
    const fs::path log = paths_.vm(Name::parse("web")) / "serial.log";
    {
        std::ofstream out(log, std::ios::app);
        for (int i = 0; i < 600'000; ++i) {
            out << "line " << i << "\n";
        }
    }
    daemon_->guest.trim_serial_logs();
    EXPECT_LE(fs::file_size(log), daemon_->config.vm.serial_log.count() / 2 + 4096);
    EXPECT_NE(read_file(log, 1U << 24U).find("line 599999"), std::string::npos);
}

TEST_F(VmServiceTest, TwoAtOnceNeverShareAPort) {
    std::vector<Json> started;
    for (int i = 0; i < 8; ++i) {
        VmCreate call = wanted(fmt::format("vm-{}", i));
        call.start = false;
        started.push_back(ask(call));
    }
    std::set<std::uint16_t> ports;
    for (const Json& operation : started) {
        ports.insert(decode<Vm>(finish(operation)).ssh->port);
    }
    EXPECT_EQ(ports.size(), started.size());
}

} // namespace
} // namespace capsul
