// Copies of VMs.
#include "daemon/guest_identity.hpp"
#include "daemon/seed_iso.hpp"
#include "tests/integration/disk_contents.hpp"

namespace capsul {
namespace {

class VmCloneTest : public VmDisksTest {
  protected:
    VmCloneTest() {
        VmCreate call = wanted("web");
        call.start = false;
        call.ssh_keys = {SshKey::parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me")};
        call.user_data = "#cloud-config\npackages: [nginx]\n";
        call.init_script = "#!/bin/sh\ntrue\n";
        call.publish = {own_publish(11)};
        call.labels = {{"tier", "test"}};
        run(call);
    }

    [[nodiscard]] VmClone to_copy(bool start = false) const { return {web_, copy_, {}, start}; }

    std::map<std::string, std::string> seed_of(const Name& name) {
        return files_in_seed_iso(read_file(paths_.vm(name) / "seed.iso"));
    }

    const Name copy_ = Name::parse("copy");
};

TEST_F(VmCloneTest, IsAnotherMachineWithTheSameDisks) {
    run(VmDiskAdd{web_, Bytes::parse("8M"), DiskName::parse("data")});
    write(web_, "root", 1);
    write(web_, "data", 1);
    run(VmSnapshotCreate{web_, Name::parse("one")});
    const auto result = decode<Cloned>(run(to_copy(true)));
    EXPECT_EQ(result.vm.state, VmState::running);
    EXPECT_EQ(result.left_out, std::vector<PublishedPort>{own_publish(11)});
    const VmRecord source = record(web_);
    const VmRecord copy = record(copy_);
    EXPECT_NE(copy.uuid, source.uuid);
    EXPECT_NE(copy.nics.front().mac, source.nics.front().mac);
    EXPECT_NE(copy.ssh_port, source.ssh_port);
    EXPECT_TRUE(copy.publish.empty());
    EXPECT_EQ(copy.labels, source.labels);
    EXPECT_EQ(copy.disks, source.disks);
    EXPECT_EQ(copy.snapshots, source.snapshots);
    write(copy_, "root", 2);
    write(copy_, "data", 2);
    EXPECT_TRUE(holds(web_, "root", 1));
    EXPECT_TRUE(holds(web_, "data", 1));
    stop(copy_);
    run(VmSnapshotRestore{copy_, Name::parse("one")});
    EXPECT_TRUE(holds(copy_, "data", 1));
}

TEST_F(VmCloneTest, ItsGuestIsTheSameToNobodyButItsUser) {
    run(to_copy());
    const auto before = seed_of(web_);
    const auto now = seed_of(copy_);
    EXPECT_EQ(now.at("user-data"), before.at("user-data"));
    EXPECT_EQ(now.at("vendor-data"), with_new_identity(before.at("vendor-data")));
    const Json meta = parse_json(now.at("meta-data"));
    EXPECT_EQ(meta["instance-id"], Json(record(copy_).uuid.to_string()));
    EXPECT_EQ(meta["local-hostname"], Json("copy"));
    EXPECT_EQ(meta["public-keys"], parse_json(before.at("meta-data"))["public-keys"]);
    EXPECT_NE(now.at("network-config").find(record(copy_).nics.front().mac.to_string()), std::string::npos);
}

TEST_F(VmCloneTest, PublishesWhatItIsGiven) {
    VmClone call = to_copy();
    call.publish = {own_publish(12)};
    EXPECT_EQ(decode<Cloned>(run(call)).vm.spec->publish, call.publish);
    VmClone clash{web_, Name::parse("other"), {own_publish(12)}, false};
    const auto before = files_of_vms();
    EXPECT_EQ(refusal([&] { run(clash); }).code(), ErrorCode::in_use);
    EXPECT_EQ(files_of_vms(), before);
}

TEST_F(VmCloneTest, RefusesWhatCannotBeAndLeavesNothing) {
    EXPECT_EQ(refusal([&] { run(VmClone{web_, web_, {}, false}); }).code(), ErrorCode::exists);
    EXPECT_EQ(refusal([&] {
                  run(VmClone{Name::parse("none"), copy_, {}, false});
              }).code(),
              ErrorCode::not_found);
    run(VmStart{web_});
    const auto before = files_of_vms();
    const Error running = refusal([&] { run(to_copy()); });
    EXPECT_EQ(running.code(), ErrorCode::wrong_state);
    EXPECT_NE(running.hint().find("capsulctl stop web"), std::string::npos) << running.hint();
    EXPECT_EQ(files_of_vms(), before);
}

TEST_F(VmCloneTest, ACopyThatDoesNotStartStays) {
    replace_file(file_of(web_, "root"), "no disk");
    const Error error = refusal([&] { run(to_copy(true)); });
    EXPECT_NE(std::string(error.what()).find("was copied, but does not start"), std::string::npos)
        << error.what();
    EXPECT_NE(error.hint().find("capsulctl start copy"), std::string::npos) << error.hint();
    EXPECT_TRUE(daemon_->store.vms.exists(copy_));
}

TEST_F(VmCloneTest, AFailureHalfWayLeavesNothing) {
    replace_file(paths_.vm(web_) / "seed.iso", "not an image"); // read when the disks are copied
    const auto before = files_of_vms();
    EXPECT_EQ(refusal([&] { run(to_copy()); }).code(), ErrorCode::invalid);
    EXPECT_EQ(files_of_vms(), before);
    EXPECT_EQ(refusal([&] { ask(VmShow{copy_}); }).code(), ErrorCode::not_found);
}

TEST_F(VmCloneTest, OfOneNameIsMadeOnce) {
    VmCreate other = wanted("web2");
    other.start = false;
    run(other);
    int made = 0;
    const auto count = [&](const auto& work) {
        try {
            work();
            ++made;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::exists) << error.what();
        }
    };
    const Json first = ask(to_copy());
    count([&] { run(VmClone{Name::parse("web2"), copy_, {}, false}); });
    count([&] { finish(first); });
    EXPECT_EQ(made, 1);
    EXPECT_EQ(decode<Vm>(run(VmStart{copy_})).state, VmState::running);
}

TEST_F(VmCloneTest, WhatAKilledDaemonHadCopiedIsSwept) {
    const auto before = files_of_vms();
    make_folders(paths_.vm(copy_));
    fs::copy_file(file_of(web_, "root"), paths_.vm(copy_) / "disk.qcow2");
    start_anew();
    EXPECT_EQ(files_of_vms(), before);
    run(to_copy());
}

} // namespace
} // namespace capsul
