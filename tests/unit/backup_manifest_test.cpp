#include "daemon/backup_manifest.hpp"

#include "tests/unit/golden.hpp"

namespace capsul {
namespace {

constexpr const char* golden_file = "backup-manifest.json";

Digest digest_of(char c) {
    return Digest::parse("sha256:" + std::string(64, c));
}

VmRecord web() {
    VmRecord vm;
    vm.name = Name::parse("web");
    vm.uuid = Uuid::parse("0b5d6a86-3f52-4d4e-9d0e-6f1e6a3a5c01");
    vm.created = Timestamp::parse("2026-11-22T03:37:03Z");
    vm.image = Name::parse("debian-12");
    vm.image_digest = digest_of('a');
    vm.boot = DirectKernel{digest_of('b'), digest_of('c'), "root=LABEL=root console=ttyS0"};
    vm.cpus = CpuCount::from_number(2);
    vm.memory = Bytes::parse("1G");
    vm.disk = Bytes::parse("20G");
    Nic nic;
    nic.network = Name::parse("user");
    nic.mac = Mac::parse("02:00:00:00:00:01");
    vm.nics = {nic};
    vm.ssh_port = 22000;
    vm.publish = {PublishedPort::parse("8080:80/tcp")};
    vm.labels = {{"tier", "front"}};
    vm.disks = {{DiskName::parse("data"), 0, Bytes::parse("5G"), vm.created}};
    return vm;
}

BackupManifest manifest() {
    BackupManifest manifest;
    manifest.created = Timestamp::parse("2026-11-27T22:00:00Z");
    manifest.capsul = "0.1.0";
    manifest.consistency = Consistency::frozen;
    manifest.vm = web();
    manifest.image = Name::parse("debian-12-20261101");
    manifest.seed = {{"meta-data", "{}\n"}, {"user-data", "#cloud-config\n{}\n"}};
    manifest.members = {{"disk.qcow2", 3'000'000'000, digest_of('1')},
                        {"disk-data.qcow2", 196'624, digest_of('2')},
                        {"image.qcow2", 500'000'000, digest_of('3')},
                        {"image.kernel", 8'000'000, digest_of('b')},
                        {"image.initrd", 30'000'000, digest_of('c')}};
    return manifest;
}

/// Of a manifest that `change` was made to.
template <class Change>
Error manifest_refusal(const Change& change) {
    BackupManifest changed = manifest();
    change(changed);
    try {
        static_cast<void>(parse_backup_manifest(backup_manifest_text(changed)));
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::invalid) << error.what();
        return error;
    }
    ADD_FAILURE() << "was accepted";
    return {ErrorCode::internal, ""};
}

testing::AssertionResult says(const Error& error, const std::string& words) {
    return std::string(error.what()).find(words) != std::string::npos
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << error.what();
}

TEST(BackupManifest, IsAsGolden) {
    expect_golden(golden_file, backup_manifest_text(manifest()));
}

TEST(BackupManifest, IsReadAsItWasWritten) {
    const std::string text = backup_manifest_text(manifest());
    const BackupManifest read = parse_backup_manifest(text);
    EXPECT_EQ(backup_manifest_text(read), text);
    EXPECT_TRUE(has_image(read));
}

TEST(BackupManifest, MayLeaveTheImageOut) {
    BackupManifest without = manifest();
    without.members.resize(2);
    EXPECT_FALSE(has_image(parse_backup_manifest(backup_manifest_text(without))));
}

TEST(BackupManifest, NamesFilesAsInTheFolderOfTheVm) {
    EXPECT_EQ(backup_disk_files(web()), (std::vector<std::string>{"disk.qcow2", "disk-data.qcow2"}));
}

TEST(BackupManifest, HasExactlyTheFilesThatItsVmNeeds) {
    const char* const words = "not the files that its VM needs";
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.members.clear(); }), words));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.members.pop_back(); }), words));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.members.push_back(m.members[0]); }), words));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { std::swap(m.members[0], m.members[1]); }), words));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.members[0].name = "../disk.qcow2"; }), words));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.members[1].name = "disk.qcow2"; }), words));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.vm.disks.clear(); }), words));
}

TEST(BackupManifest, HasMembersOfPossibleSizes) {
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.members[0].size = 0; }), "0 bytes"));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.members[0].size = ~std::uint64_t{0}; }), "bytes"));
}

TEST(BackupManifest, BootsTheKernelThatItHolds) {
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.members[3].digest = digest_of('9'); }), "boots"));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.members[4].digest = digest_of('9'); }), "boots"));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.vm.boot->cmdline = "a\nb"; }), "command line"));
}

TEST(BackupManifest, HasAVmThatCanBe) {
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.vm.disks[0].slot = 8; }), "slot 8"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.vm.disks[0].slot = -1; }), "slot -1"));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.vm.disks.push_back(m.vm.disks[0]); }), "twice"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) {
                         m.vm.nics[0].slot = 3;
                         m.vm.nics.push_back(m.vm.nics[0]);
                     }),
                     "twice"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) {
                         m.vm.nics.push_back(m.vm.nics[0]);
                         m.vm.nics[1].slot = 1;
                         m.vm.nics[1].mac = Mac::parse("02:00:00:00:00:02");
                     }),
                     "user"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.vm.labels["a b"] = "c"; }), "label"));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.vm.restoring = m.vm.name; }), "does not hold"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.vm.format = 2; }), "newer"));
}

TEST(BackupManifest, HasTheFilesOfASeedAndNoOthers) {
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.seed["../x"] = ""; }), "seed"));
    EXPECT_TRUE(
        says(manifest_refusal([](BackupManifest& m) { m.seed["user-data"] = std::string(1U << 20U, 'x'); }),
             "seed"));
}

TEST(BackupManifest, HasASeedThatDescribesItsVm) {
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.seed.erase("user-data"); }), "lacks"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.seed.erase("meta-data"); }), "lacks"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.seed["meta-data"] = "[]"; }), "no object"));
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.seed["meta-data"] = "{"; }), "manifest"));
}

TEST(BackupManifest, OfANewerCapsulSaysSo) {
    EXPECT_TRUE(says(manifest_refusal([](BackupManifest& m) { m.format = 2; }), "format 2"));
}

TEST(BackupManifest, OtherTextIsRefused) {
    for (const char* const text :
         {"", "[]", "{}", "null", "{\"format\": \"1\"}", "{\"format\": 1, \"more\": 2}"}) {
        EXPECT_THROW(static_cast<void>(parse_backup_manifest(text)), Error) << text;
    }
}

} // namespace
} // namespace capsul
