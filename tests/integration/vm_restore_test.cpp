// VMs from backups: the same machine again, another one, and what is no backup.
#include "daemon/backup_manifest.hpp"
#include "daemon/disk_file.hpp"
#include "daemon/guest_identity.hpp"
#include "daemon/seed_iso.hpp"
#include "daemon/tar_writer.hpp"
#include "tests/integration/backup_fixture.hpp"

namespace capsul {
namespace {

class VmRestoreTest : public VmBackupTest {
  protected:
    /// A stopped VM with a data disk, over a base of sevens.
    void make_web() {
        fill_base(7);
        VmCreate call = wanted("web");
        call.start = false;
        call.ssh_keys = {SshKey::parse("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me")};
        call.user_data = "#cloud-config\npackages: [nginx]\n";
        call.publish = {own_publish(11)};
        call.labels = {{"tier", "test"}};
        run(call);
        run(VmDiskAdd{web_, Bytes::parse("8M"), DiskName::parse("data")});
        write(web_, "root", 1);
        write(web_, "data", 1);
    }

    /// What the archive of such a VM is made of: everything can be changed before write().
    void take_apart() {
        make_web();
        parts_ = folder_.path() / "parts";
        make_folders(parts_);
        const fs::path file = folder_.path() / "web.tar.zst";
        replace_file(file, fetched(back_up(web_)));
        const fs::path text = parts_ / backup_manifest_file;
        replace_file(text, "");
        ASSERT_EQ(unpack({"backup-manifest", file.string(), text.string(), "1000000"}), 0);
        manifest_ = parse_backup_manifest(read_file(text));
        std::vector<std::string> words{"backup", file.string()};
        for (const BackupMember& member : manifest_.members) {
            replace_file(parts_ / member.name, "");
            words.insert(words.end(),
                         {member.name, std::to_string(member.size), (parts_ / member.name).string()});
        }
        ASSERT_EQ(unpack(words), 0);
    }

    static int unpack(std::vector<std::string> words) {
        words.insert(words.begin(), CAPSUL_UNPACK);
        return run_process(words, 60s).status;
    }

    /// With sums that are right.
    std::string put_together() {
        const fs::path file = folder_.path() / "changed.tar.zst";
        fs::remove(file);
        BackupManifest manifest = manifest_;
        manifest.members.clear();
        write_backup(file, manifest, parts_, [](int) {});
        return read_file(file, std::size_t{1} << 30U);
    }

    /// Member by member, as a stranger may.
    std::string written(const std::vector<std::pair<std::string, std::string>>& members, bool zstd = true) {
        const fs::path file = folder_.path() / "strange.tar.zst";
        fs::remove(file);
        TarWriter tar(file, {.work = "writing", .zstd = zstd});
        for (const auto& [name, content] : members) {
            tar.add_text(name, content);
        }
        tar.finish();
        return read_file(file, std::size_t{1} << 30U);
    }

    std::vector<std::pair<std::string, std::string>> members() {
        std::vector<std::pair<std::string, std::string>> all{
            {backup_manifest_file, backup_manifest_text(manifest_)}};
        for (const BackupMember& member : manifest_.members) {
            all.emplace_back(member.name, read_file(parts_ / member.name, std::size_t{1} << 30U));
        }
        return all;
    }

    std::map<std::string, std::string> seed_of(const Name& name) {
        return files_in_seed_iso(read_file(paths_.vm(name) / "seed.iso"));
    }

    const Name copy_ = Name::parse("copy");
    fs::path parts_;
    BackupManifest manifest_;
};

TEST_F(VmRestoreTest, OnAnotherHostItIsTheVeryMachineAgain) {
    make_web();
    run(VmSnapshotCreate{web_, Name::parse("one")});
    write(web_, "root", 2);
    const VmRecord before = record(web_);
    const auto seed = seed_of(web_);
    const BackedUp made = back_up(web_);
    EXPECT_EQ(made.consistency, Consistency::stopped);
    const std::string archive = fetched(made);
    change_host();
    const FromBackup result = restore(sent(archive));
    EXPECT_EQ(result.vm.state, VmState::stopped);
    EXPECT_EQ(result.image, Name::parse("restored-blank")) << "a name that is nobody else's";
    EXPECT_TRUE(result.left_out.empty());
    const VmRecord after = record(web_);
    EXPECT_EQ(after.uuid, before.uuid);
    EXPECT_EQ(after.nics, before.nics);
    EXPECT_EQ(after.disks, before.disks);
    EXPECT_EQ(after.publish, before.publish);
    EXPECT_EQ(after.labels, before.labels);
    EXPECT_TRUE(after.snapshots.empty()) << "they are not in a backup";
    EXPECT_EQ(seed_of(web_), seed);
    EXPECT_TRUE(has_byte(web_, "root", 2, "0"));
    EXPECT_TRUE(has_byte(web_, "root", 7, "1M")) << "of the base";
    EXPECT_TRUE(has_byte(web_, "data", 1, "0"));
    EXPECT_EQ(snapshots_in({"root", "root", file_of(web_, "root")}), std::set<std::string>{});
    const auto image = daemon_->images.show(Name::parse("restored-blank"));
    EXPECT_EQ(image.digest, after.image_digest);
    EXPECT_EQ(image.vms, std::vector<Name>{web_});
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(VmRestoreTest, ASecondOneFindsTheImageThere) {
    make_web();
    const std::string archive = fetched(back_up(web_));
    change_host();
    const FromBackup first = restore(sent(archive));
    BackupRestore call = sent(archive);
    call.as = copy_;
    EXPECT_FALSE(restore(call).image);
    EXPECT_EQ(record(copy_).image_digest, record(web_).image_digest);
    run(VmDelete{web_});
    EXPECT_TRUE(has_byte(copy_, "root", 7, "1M"));
}

TEST_F(VmRestoreTest, BesideTheOtherItIsAnotherMachine) {
    make_web();
    const std::string archive = fetched(back_up(web_));
    BackupRestore call = sent(archive);
    call.as = copy_;
    call.start = true;
    const FromBackup result = restore(call);
    EXPECT_EQ(result.vm.state, VmState::running);
    EXPECT_FALSE(result.image) << "it is here";
    EXPECT_EQ(result.left_out, std::vector<PublishedPort>{own_publish(11)});
    const VmRecord source = record(web_);
    const VmRecord copy = record(copy_);
    EXPECT_NE(copy.uuid, source.uuid);
    EXPECT_NE(copy.nics.front().mac, source.nics.front().mac);
    EXPECT_NE(copy.ssh_port, source.ssh_port);
    EXPECT_EQ(copy.disks, source.disks);
    const Json meta = parse_json(seed_of(copy_).at("meta-data"));
    EXPECT_EQ(meta["instance-id"], Json(copy.uuid.to_string()));
    EXPECT_EQ(meta["local-hostname"], Json("copy"));
    EXPECT_EQ(seed_of(copy_).at("user-data"), seed_of(web_).at("user-data"));
    write(copy_, "root", 2);
    EXPECT_TRUE(holds(web_, "root", 1));
}

TEST_F(VmRestoreTest, WhereTheMachineIsThereItIsNotMadeAgain) {
    make_web();
    const std::string archive = fetched(back_up(web_));
    refuse(archive, ErrorCode::exists, "--as NAME");
    run(VmDelete{web_});
    restore(sent(archive));
    EXPECT_TRUE(has_byte(web_, "root", 1, "0"));
}

TEST_F(VmRestoreTest, WithoutItsImageItNeedsAHostThatHasIt) {
    make_web();
    const std::string archive = fetched(back_up(web_, false));
    BackupRestore call = sent(archive);
    call.as = copy_;
    restore(call);
    EXPECT_TRUE(has_byte(copy_, "root", 7, "1M"));
    change_host();
    refuse(archive, ErrorCode::not_found, "blank");
}

TEST_F(VmRestoreTest, APortThatIsTakenIsLeftOut) {
    make_web();
    const std::string archive = fetched(back_up(web_));
    run(VmDelete{web_});
    VmCreate other = wanted("other");
    other.start = false;
    other.publish = {own_publish(11)};
    run(other);
    EXPECT_EQ(restore(sent(archive)).left_out, other.publish);
    EXPECT_TRUE(record(web_).publish.empty());
    run(VmDelete{web_});
    BackupRestore call = sent(archive);
    call.publish = {own_publish(12)};
    EXPECT_TRUE(restore(call).left_out.empty());
    EXPECT_EQ(record(web_).publish, call.publish);
}

TEST_F(VmRestoreTest, APortThatItsNewNetworkDoesNotCarryIsLeftOut) {
    take_apart();
    const PublishedPort port = PublishedPort::parse("[::1]:28382:80");
    manifest_.vm.nics.front().network = Name::parse("lan");
    manifest_.vm.ssh_port = 0;
    manifest_.vm.publish.push_back(port);
    BackupRestore call = sent(put_together());
    run(VmDelete{web_});
    call.networks = {{Name::parse("lan"), Name::parse("user")}};
    EXPECT_EQ(restore(call).left_out, std::vector<PublishedPort>{port});
    EXPECT_EQ(record(web_).publish, std::vector<PublishedPort>{own_publish(11)});
}

TEST_F(VmRestoreTest, ANetworkThatIsNotThereIsReplaced) {
    take_apart();
    Nic& nic = manifest_.vm.nics.front();
    nic.network = Name::parse("lan");
    nic.slot = 3;
    manifest_.vm.ssh_port = 0;
    const std::string archive = put_together();
    change_host();
    refuse(archive, ErrorCode::not_found, "--network lan=NAME");
    BackupRestore call = sent(archive);
    call.networks = {{Name::parse("office"), Name::parse("user")}};
    expect_refused(call, ErrorCode::invalid, "office");
    call = sent(archive);
    call.networks = {{Name::parse("lan"), Name::parse("user")}};
    restore(call);
    ASSERT_EQ(record(web_).nics.size(), 1U);
    EXPECT_EQ(record(web_).nics.front().mac, nic.mac);
    EXPECT_EQ(record(web_).nics.front().slot, 3) << "the guest finds it where it was";
    EXPECT_NE(record(web_).ssh_port, 0);
    EXPECT_EQ(decode<Vm>(run(VmStart{web_})).state, VmState::running);
}

TEST_F(VmRestoreTest, WhatIsNoBackupIsRefused) {
    take_apart();
    change_host();
    const auto whole = members();
    refuse(written({{"a", "b"}}), ErrorCode::invalid, "manifest.json");
    refuse(written({{backup_manifest_file, "{}"}}), ErrorCode::invalid, "'format' is missing");
    refuse(written({{backup_manifest_file, R"({"format": 2})"}}), ErrorCode::invalid, "format 2");
    const auto changed = [&](const auto& change) {
        auto some = whole;
        change(some);
        return written(some);
    };
    refuse(changed([](auto& some) { some.pop_back(); }), ErrorCode::verification, "is missing");
    refuse(changed([](auto& some) { some.push_back(some[1]); }), ErrorCode::verification,
           "not in its manifest");
    refuse(changed([](auto& some) { std::swap(some[1], some[2]); }), ErrorCode::verification, "should be");
    refuse(changed([](auto& some) { some[1].first = "../disk.qcow2"; }), ErrorCode::verification,
           "should be");
    refuse(changed([](auto& some) { some[1].second += 'x'; }), ErrorCode::verification, "longer");
    refuse(changed([](auto& some) { some[1].second.pop_back(); }), ErrorCode::verification, "shorter");
    refuse(changed([](auto& some) { some[1].second.back() ^= 1; }), ErrorCode::verification, "sha256:");
    restore(sent(written(whole, false))); // as one that was packed by hand
    EXPECT_TRUE(has_byte(web_, "root", 1, "0"));
}

TEST_F(VmRestoreTest, ADiskThatLeadsElsewhereIsRefused) {
    take_apart();
    const fs::path data = parts_ / "disk-data.qcow2";
    const std::string whole = read_file(data, std::size_t{1} << 30U);
    const auto made = [&](const std::vector<std::string>& words) {
        std::vector<std::string> argv{"qemu-img"};
        argv.insert(argv.end(), words.begin(), words.end());
        ASSERT_EQ(run_process(argv, 30s).status, 0);
    };
    change_host();
    made({"rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", data.string()});
    refuse(put_together(), ErrorCode::invalid, "backing file");
    fs::remove(data);
    made({"create", "-q", "-f", "qcow2", "-o", "data_file=" + (folder_.path() / "elsewhere").string(),
          data.string(), "8M"});
    refuse(put_together(), ErrorCode::invalid, "another file");
    fs::remove(data);
    made({"create", "-q", "-f", "qcow2", data.string(), "16M"});
    refuse(put_together(), ErrorCode::invalid, "16M");
    fs::remove(data);
    made({"create", "-q", "-f", "qcow2", "-o", "compat=0.10", data.string(), "8M"});
    refuse(put_together(), ErrorCode::verification, "capsul made");
    replace_file(data, whole);
    made({"snapshot", "-c", "hidden", data.string()});
    refuse(put_together(), ErrorCode::invalid, "snapshots");
    replace_file(data, std::string(std::size_t{1} << 20U, 'x'));
    refuse(put_together(), ErrorCode::invalid, "no qcow2");
    replace_file(data, whole);
    restore(sent(put_together()));
}

/// Whatever an archive says: what VMs of this host are made from is known by what it is.
TEST_F(VmRestoreTest, AnImageIsKnownByItsContentNotByWhatTheArchiveSays) {
    take_apart();
    change_host();
    restore(sent(put_together()));
    const Digest said = manifest_.vm.image_digest; // of something else, as of an image that was converted
    EXPECT_NE(record(web_).image_digest, said);
    EXPECT_EQ(
        record(web_).image_digest,
        Digest::parse("sha256:" + sha256_hex(read_file(parts_ / "image.qcow2", std::size_t{1} << 30U))));
    EXPECT_FALSE(fs::exists(daemon_->images.disk_path(said)));
}

TEST_F(VmRestoreTest, AnImageOfAnotherMachinesDiskStaysOne) {
    take_apart();
    const std::string ordinary = put_together();
    manifest_.seed["vendor-data"] = with_new_identity("");
    const std::string archive = put_together();
    change_host();
    restore(sent(archive));
    const auto published = daemon_->store.images.load(Name::parse("restored-blank")).published;
    ASSERT_TRUE(published);
    EXPECT_TRUE(published->reset);
    run(VmDelete{web_});
    run(ImageRemove{Name::parse("restored-blank")});
    restore(sent(ordinary));
    EXPECT_FALSE(daemon_->store.images.load(Name::parse("restored-blank")).published);
}

TEST_F(VmRestoreTest, AnImageWhoseNameIsTakenGetsAnother) {
    take_apart();
    change_host();
    ImageRecord other;
    other.name = Name::parse("restored-blank");
    other.digest = Digest::parse("sha256:" + std::string(64, 'b'));
    other.size = Bytes::parse("64M");
    other.imported = Timestamp::now();
    replace_file(daemon_->images.disk_path(other.digest), "other");
    daemon_->store.images.save(other);
    const auto image = restore(sent(put_together())).image;
    ASSERT_TRUE(image);
    EXPECT_TRUE(image->to_string().starts_with("restored-blank-")) << image->to_string();
}

TEST_F(VmRestoreTest, AnImagesNameStaysOneHoweverLongAndHoweverOftenItIsRestored) {
    take_apart();
    const std::pair<std::string, std::string> names[] = {
        {"restored-blank", "restored-blank"},
        {"restored-" + std::string(53, '-') + "x", "restored"},
        {std::string(44, 'x') + "-" + std::string(18, 'y'), "restored-" + std::string(44, 'x')},
        {std::string(63, 'x'), "restored-" + std::string(45, 'x')}};
    std::vector<std::string> archives;
    for (const auto& [saved, restored] : names) {
        manifest_.image = Name::parse(saved);
        archives.push_back(put_together());
    }
    change_host();
    for (std::size_t i = 0; i < std::size(names); ++i) {
        EXPECT_EQ(restore(sent(archives[i])).image, Name::parse(names[i].second));
        run(VmDelete{web_});
        run(ImageRemove{Name::parse(names[i].second)});
    }
}

TEST_F(VmRestoreTest, AFailureHalfWayLeavesNothing) {
    take_apart();
    manifest_.seed["meta-data"] = R"({"public-keys": 1})"; // read when all else is in place
    change_host();
    refuse(put_together(), ErrorCode::invalid, "");
    EXPECT_EQ(refusal([&] { ask(VmShow{web_}); }).code(), ErrorCode::not_found);
    EXPECT_TRUE(daemon_->images.list().empty());
}

TEST_F(VmRestoreTest, WhatAKilledDaemonHadUnpackedIsSwept) {
    make_web();
    const auto before = kept();
    make_folders(paths_.downloads() / "x.claimed");
    replace_file(paths_.downloads() / "x.claimed/disk.qcow2", "half");
    make_folders(paths_.vm(copy_));
    replace_file(paths_.vm(copy_) / "disk.qcow2", "half");
    start_anew();
    daemon_->images.sweep();
    EXPECT_EQ(kept(), before);
}

} // namespace
} // namespace capsul
