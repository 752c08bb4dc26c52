// Resizing VMs, and their data disks: real QEMU, a guest without an operating system.
#include "daemon/disk_file.hpp"
#include "lib/base64.hpp"
#include "tests/integration/disk_contents.hpp"
#include "tests/integration/fake_agent.hpp"

namespace capsul {
namespace {

using test::agent_script;
using test::answer;
using test::FakePeer;
using test::Peer;
using test::read_command;

constexpr const char* first_port = "bay0";

VmResize disk_to(const Name& vm, const std::string& size) {
    VmResize call;
    call.name = vm;
    call.disk = NewSize::parse(size);
    return call;
}

VmResize memory_to(const Name& vm, const std::string& size) {
    VmResize call;
    call.name = vm;
    call.memory = Bytes::parse(size);
    return call;
}

VmDiskAdd disk_called(const Name& vm, const std::string& disk, const std::string& size = "8M") {
    return {vm, Bytes::parse(size), DiskName::parse(disk)};
}

VmDiskRemove without_disk(const Name& vm, const std::string& disk) {
    return {vm, DiskName::parse(disk)};
}

TEST_F(VmDisksTest, ADiskGrowsWhileItsVmRuns) {
    const auto pid = make("web").pid;
    const auto result = decode<Resized>(run(disk_to(web_, "+64M")));
    EXPECT_EQ(result.vm.spec->disk, Bytes::parse("128M"));
    EXPECT_EQ(result.vm.pid, pid);
    EXPECT_FALSE(result.at_next_start);
    EXPECT_FALSE(result.guest_disk) << "there is no agent to tell";
    EXPECT_EQ(size_of_disk(file_of(web_, "root")), Bytes::parse("128M"));
    EXPECT_NE(tell_qemu(web_, "info block -v disk0").find("128 MiB"), std::string::npos);
}

TEST_F(VmDisksTest, ADiskGrowsWhileItsVmIsStopped) {
    make("web", false);
    EXPECT_EQ(decode<Resized>(run(disk_to(web_, "96M"))).vm.spec->disk, Bytes::parse("96M"));
    EXPECT_EQ(size_of_disk(file_of(web_, "root")), Bytes::parse("96M"));
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(VmDisksTest, ResizeRefusesWhatCannotBeAndChangesNothing) {
    make("web", false);
    const auto before = encode(record(web_));
    const auto code = [&](const VmResize& call) { return refusal([&] { run(call); }).code(); };
    const Error smaller = refusal([&] { run(disk_to(web_, "32M")); });
    EXPECT_EQ(smaller.code(), ErrorCode::invalid);
    EXPECT_NE(std::string(smaller.what()).find("never made smaller"), std::string::npos) << smaller.what();
    EXPECT_FALSE(smaller.hint().empty());
    EXPECT_EQ(code(disk_to(web_, "1000T")), ErrorCode::invalid);
    EXPECT_EQ(code(disk_to(web_, "+9223372036854775807")), ErrorCode::invalid);
    EXPECT_EQ(code(disk_to(web_, "100000001")), ErrorCode::invalid);
    EXPECT_EQ(code(memory_to(web_, "1M")), ErrorCode::invalid);
    EXPECT_EQ(code(memory_to(web_, "1000T")), ErrorCode::invalid);
    VmResize nothing;
    nothing.name = web_;
    EXPECT_EQ(code(nothing), ErrorCode::invalid);
    EXPECT_EQ(encode(record(web_)), before);
    EXPECT_EQ(size_of_disk(file_of(web_, "root")), Bytes::parse("64M"));
}

std::string memory_limit_in(const std::string& unit) {
    const auto begin = unit.find("MemoryMax=");
    return unit.substr(begin, unit.find('\n', begin) - begin);
}

TEST_F(VmDisksTest, CpusAndMemoryAreThoseOfTheNextStart) {
    make("web");
    VmResize call = memory_to(web_, "96M");
    call.cpus = CpuCount::from_number(2);
    EXPECT_TRUE(decode<Resized>(run(call)).at_next_start);
    const std::string config = read_file(paths_.vm(web_) / "qemu.conf");
    EXPECT_NE(config.find(fmt::format("size = \"{}B\"", 96U << 20U)), std::string::npos) << config;
    EXPECT_NE(config.find("cpus = \"2\""), std::string::npos);
    run(VmRestart{web_, {}, true});
    EXPECT_NE(tell_qemu(web_, "info memory_size_summary").find(std::to_string(96U << 20U)),
              std::string::npos);
    EXPECT_FALSE(decode<Resized>(run(call)).at_next_start);
}

TEST_F(VmDisksTest, LessMemoryDoesNotLowerTheLimitOfAQemuThatHasMore) {
    VmCreate call = wanted("web");
    call.memory = Bytes::parse("128M");
    run(call);
    const auto unit = [&] { return read_file(daemon_->host.unit_file(web_)); };
    const std::string before = memory_limit_in(unit());
    run(memory_to(web_, "64M"));
    EXPECT_EQ(memory_limit_in(unit()), before);
    run(disk_called(web_, "data")); // writes the unit anew
    EXPECT_EQ(memory_limit_in(unit()), before);
    run(VmRestart{web_, {}, true});
    EXPECT_NE(memory_limit_in(unit()), before);
}

TEST_F(VmDisksTest, AfterACrashTheRecordFollowsTheFile) {
    make("web");
    daemon_->monitors.connection(web_, 5s)->execute("block_resize",
                                                    {{"device", "disk0"}, {"size", 100U << 20U}});
    ASSERT_EQ(record(web_).disk, Bytes::parse("64M")); // killed before it was written
    start_anew();
    EXPECT_EQ(record(web_).disk, Bytes::parse("100M"));
}

TEST_F(VmDisksTest, TheGuestsViewIsTold) {
    make("web");
    const FakePeer guest(socket_of(web_, "agent.sock"), agent_script([](Peer& peer, const Json& command) {
                             const std::string call = command["execute"].get<std::string>();
                             call == "guest-file-read"
                                 ? answer(peer, {{"buf-b64", base64_encode("262144\n")}, {"eof", true}})
                                 : answer(peer, call == "guest-file-open" ? Json(1) : Json::object());
                         }));
    EXPECT_EQ(decode<Resized>(run(disk_to(web_, "128M"))).guest_disk, Bytes::parse("128M"));
}

TEST_F(VmDisksTest, ADiskIsPluggedIntoARunningVmAndIsThereAfterARestart) {
    make("web");
    const auto added = decode<DiskChange>(run(disk_called(web_, "data")));
    EXPECT_EQ(added.disk.slot, 0);
    EXPECT_EQ(added.vm.spec->disks, std::vector<DataDisk>{added.disk});
    EXPECT_TRUE(added.vm.disk_usage.contains("data"));
    const auto serial = [&] {
        return daemon_->monitors.connection(web_, 5s)->execute(
            "qom-get", {{"path", "/machine/peripheral/disk-data-device"}, {"property", "serial"}});
    };
    EXPECT_EQ(serial(), Json("data"));
    write(web_, "data", 7);
    for (const Json& set : daemon_->monitors.connection(web_, 5s)->execute("query-fdsets")) {
        EXPECT_EQ(set["fds"], Json::array()) << "a descriptor is left behind";
    }
    run(VmRestart{web_, {}, true});
    EXPECT_EQ(serial(), Json("data"));
    EXPECT_TRUE(holds(web_, "data", 7));
    const std::string unit = read_file(daemon_->host.unit_file(web_));
    EXPECT_NE(unit.find("--rw " + file_of(web_, "data").string()), std::string::npos);
}

TEST_F(VmDisksTest, DisksKeepTheirPlacesWhenOthersGo) {
    make("web", false);
    for (const char* name : {"a", "b", "c"}) {
        run(disk_called(web_, name));
    }
    run(without_disk(web_, "b"));
    VmDiskAdd unnamed{web_, Bytes::parse("8M"), {}};
    EXPECT_EQ(decode<DiskChange>(run(unnamed)).disk.name.to_string(), "data");
    EXPECT_EQ(decode<DiskChange>(run(unnamed)).disk.name.to_string(), "data2");
    std::map<std::string, int> places;
    for (const DataDisk& disk : record(web_).disks) {
        places[disk.name.to_string()] = disk.slot;
    }
    EXPECT_EQ(places, (std::map<std::string, int>{{"a", 0}, {"c", 2}, {"data", 1}, {"data2", 3}}));
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(VmDisksTest, RefusesDisksThatCannotBeAndChangesNothing) {
    make("web", false);
    run(disk_called(web_, "data"));
    replace_file(file_of(web_, "mine"), "a file of somebody's");
    const auto before = files_of_vms();
    const auto code = [&](const auto& call) { return refusal([&] { run(call); }).code(); };
    EXPECT_EQ(code(disk_called(web_, "data")), ErrorCode::exists);
    EXPECT_EQ(code(disk_called(web_, "mine")), ErrorCode::exists);
    EXPECT_EQ(code(disk_called(web_, "huge", "1000T")), ErrorCode::invalid);
    EXPECT_EQ(code(disk_called(web_, "tiny", "512")), ErrorCode::invalid);
    EXPECT_EQ(code(without_disk(web_, "other")), ErrorCode::not_found);
    EXPECT_EQ(files_of_vms(), before);
    EXPECT_EQ(read_file(file_of(web_, "mine")), "a file of somebody's");
    for (int i = 1; i < most_disks; ++i) {
        run(VmDiskAdd{web_, Bytes::parse("1M"), {}});
    }
    EXPECT_EQ(code(VmDiskAdd{web_, Bytes::parse("1M"), {}}), ErrorCode::invalid);
}

TEST_F(VmDisksTest, ADiskThatCannotBePluggedInLeavesNothing) {
    make("web");
    const auto before = files_of_vms();
    const auto monitor = daemon_->monitors.connection(web_, 5s);
    for (int i = 0; i < 32; ++i) { // as many as a bus has places
        monitor->execute(
            "device_add",
            {{"driver", "virtio-rng-pci"}, {"id", fmt::format("other{}", i)}, {"bus", first_port}});
    }
    const Error error = refusal([&] { run(disk_called(web_, "data")); });
    EXPECT_NE(std::string(error.what()).find("device_add"), std::string::npos) << error.what();
    EXPECT_EQ(files_of_vms(), before);
    EXPECT_TRUE(record(web_).disks.empty());
    EXPECT_EQ(read_file(paths_.vm(web_) / "qemu.conf").find("disk-data"), std::string::npos);
    EXPECT_EQ(dump_json(monitor->execute("query-named-block-nodes")).find("disk-data"), std::string::npos);
}

/// In QEMU's place: says that a disk cannot be plugged in, and has it all the same.
void say_no_and_plug_in(Peer& peer) {
    peer.send("{\"QMP\": {}}\n");
    bool has_disk = false;
    for (Json command = read_command(peer); command.is_object(); command = read_command(peer)) {
        const auto called = command["execute"].get<std::string>();
        Json value = Json::object();
        if (called == "query-status") {
            value["running"] = true;
        } else if (called == "add-fd") {
            value["fdset-id"] = 1;
        } else if (called == "qom-list") {
            value =
                Json::array({{{"name", first_port}}, {{"name", has_disk ? "disk-data-device" : "other"}}});
        } else if (called == "query-named-block-nodes") {
            value = Json::array({{{"node-name", has_disk ? "disk-data" : "other"}}});
        }
        const bool refuses = called == "device_add" || called == "blockdev-del";
        has_disk = has_disk || called == "device_add";
        Json reply{{"id", command["id"]}};
        reply[refuses ? "error" : "return"] = refuses ? Json{{"desc", "no " + called}} : value;
        peer.send(reply.dump() + "\n");
    }
}

TEST_F(VmDisksTest, ADiskThatQemuHasAfterAllStays) {
    make("web");
    daemon_.reset();
    const FakePeer qemu(socket_of(web_, "qmp.sock"), say_no_and_plug_in);
    daemon_ = std::make_unique<Daemon>(paths_);
    const Error error = refusal([&] { run(disk_called(web_, "data")); });
    EXPECT_NE(std::string(error.what()).find("no device_add"), std::string::npos) << error.what();
    EXPECT_TRUE(fs::exists(file_of(web_, "data"))) << "the guest writes to a file that has no name";
    EXPECT_EQ(record(web_).disks.size(), 1U);
    EXPECT_NE(read_file(paths_.vm(web_) / "qemu.conf").find("disk-data"), std::string::npos);
}

TEST_F(VmDisksTest, ADiskThatQemuHasAndItsRecordHasNotIsNotMadeAnew) {
    make("web");
    const auto before = files_of_vms();
    const auto monitor = daemon_->monitors.connection(web_, 5s);
    monitor->execute("blockdev-add", {{"driver", "null-co"}, {"node-name", "disk-data"}});
    EXPECT_EQ(refusal([&] { run(disk_called(web_, "data")); }).code(), ErrorCode::wrong_state);
    EXPECT_EQ(files_of_vms(), before);
    EXPECT_TRUE(record(web_).disks.empty());
    monitor->execute("blockdev-del", {{"node-name", "disk-data"}});
    run(disk_called(web_, "data"));
    write(web_, "data", 1);
}

/// A guest without an operating system lets go of a device only when it is reset.
TEST_F(VmDisksTest, ARunningVmLosesADiskThatItHasLetGo) {
    make("web");
    run(disk_called(web_, "data"));
    const auto remove_it = [&] {
        const Json removal = ask(without_disk(web_, "data"));
        const auto id = decode<Operation>(removal).id;
        while (!daemon_->operations.show(id).finished()) {
            std::this_thread::sleep_for(300ms);
            daemon_->monitors.connection(web_, 5s)->execute("system_reset");
        }
        finish(removal);
        EXPECT_FALSE(fs::exists(file_of(web_, "data")));
        EXPECT_EQ(dump_json(daemon_->monitors.connection(web_, 5s)->execute("query-named-block-nodes"))
                      .find("fdset"),
                  std::string::npos);
        EXPECT_EQ(tell_qemu(web_, "info block").find("disk-data"), std::string::npos);
    };
    remove_it(); // plugged in
    run(disk_called(web_, "data"));
    run(VmRestart{web_, {}, true});
    remove_it(); // there from the start
    EXPECT_TRUE(record(web_).disks.empty());
    run(VmRestart{web_, {}, true});
}

TEST_F(VmDisksTest, ADiskThatAKilledDaemonWasMakingIsThereOrNot) {
    make("web", false);
    run(disk_called(web_, "data"));
    const fs::path file = file_of(web_, "data");
    const fs::path loose = file.parent_path() / ("." + file.filename().string());
    fs::rename(file, loose); // the record has it: it was about to be moved into place
    start_anew();
    EXPECT_TRUE(fs::exists(file));
    EXPECT_FALSE(fs::exists(loose));
    VmRecord vm = record(web_);
    vm.disks.clear();
    daemon_->store.vms.save(vm);
    fs::rename(file, loose); // the record does not have it: it was about to be made, or deleted
    start_anew();
    EXPECT_FALSE(fs::exists(file));
    EXPECT_FALSE(fs::exists(loose));
    run(disk_called(web_, "data"));
}

TEST_F(VmDisksTest, ADeletedVmTakesItsDisksAlong) {
    make("web");
    run(disk_called(web_, "data"));
    run(VmDelete{web_});
    EXPECT_EQ(files_of_vms(), std::set<std::string>{});
}

TEST_F(VmDisksTest, AVmWhoseDataDiskIsMissingDoesNotStart) {
    make("web", false);
    run(disk_called(web_, "data"));
    fs::remove(file_of(web_, "data"));
    const Error error = refusal([&] { run(VmStart{web_}); });
    EXPECT_EQ(error.code(), ErrorCode::wrong_state);
    EXPECT_NE(std::string(error.what()).find("disk-data.qcow2"), std::string::npos) << error.what();
    run(without_disk(web_, "data"));
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(VmDisksTest, ADiskFileThatIsNoLongerCapsulsIsNotOpened) {
    make("web", false);
    const fs::path file = file_of(web_, "root");
    fs::remove(file);
    ASSERT_EQ(run_process({"qemu-img", "create", "-q", "-f", "qcow2", "-o",
                           "data_file=" + (folder_.path() / "elsewhere").string(), file.string(), "64M"},
                          10s)
                  .status,
              0);
    EXPECT_EQ(refusal([&] { run(disk_to(web_, "128M")); }).code(), ErrorCode::verification);
}

} // namespace
} // namespace capsul
