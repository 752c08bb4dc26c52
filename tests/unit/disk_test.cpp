#include "lib/disk.hpp"

#include "lib/toml.hpp"
#include "lib/vm_disks.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

TEST(DiskName, FitsASerialNumber) {
    EXPECT_EQ(DiskName::parse("data").to_string(), "data");
    EXPECT_EQ(DiskName::parse(std::string(20, 'a')).to_string(), std::string(20, 'a'));
    for (const std::string& bad :
         {std::string(21, 'a'), std::string("root"), std::string(), std::string("Data"), std::string("a/b"),
          std::string("-a"), std::string("a,b"), std::string("a\n")}) {
        EXPECT_THROW(static_cast<void>(DiskName::parse(bad)), Error) << bad;
    }
}

TEST(NewSize, IsASizeOrSoMuchMore) {
    const Bytes present = Bytes::parse("10G");
    EXPECT_EQ(NewSize::parse("20G").from(present), Bytes::parse("20G"));
    EXPECT_EQ(NewSize::parse("+5G").from(present), Bytes::parse("15G"));
    EXPECT_EQ(NewSize::parse("+5G").to_string(), "+5G");
    EXPECT_EQ(NewSize::parse("512M").to_string(), "512M");
    for (const char* const bad : {"", "+", "-5G", "++5G", "+0", "+ 5G", "five"}) {
        EXPECT_THROW(static_cast<void>(NewSize::parse(bad)), Error) << bad;
    }
    EXPECT_THROW(static_cast<void>(NewSize::parse("+9223372036854775807").from(present)), Error);
}

VmRecord record_from(const std::string& more) {
    return decode<VmRecord>(toml_to_json(R"(format = 1
name = "web"
uuid = "0b5d6a86-3f52-4d4e-9d0e-6f1e6a3a5c01"
created = "2026-11-22T03:37:03Z"
image = "debian-12"
image_digest = "sha256:)" + std::string(64, 'a') +
                                             R"("
cpus = 1
memory = "1G"
disk = "20G"
nics = []
)" + more,
                                         "vm.toml"));
}

TEST(VmRecord, OfAnOlderCapsulHasNeitherDisksNorSnapshots) {
    const VmRecord vm = record_from("");
    EXPECT_TRUE(vm.disks.empty());
    EXPECT_TRUE(vm.snapshots.empty());
    EXPECT_FALSE(vm.restoring);
    EXPECT_FALSE(vm.memory_before);
}

TEST(VmRecord, WithDisksAndSnapshotsIsReadAsItWasWritten) {
    VmRecord vm = record_from("");
    vm.disks = {{DiskName::parse("data"), 0, Bytes::parse("5G"), Timestamp::now()}};
    vm.snapshots = {{Name::parse("one"), Timestamp::now(), {{"root", Bytes::parse("20G")}}, true, false}};
    vm.restoring = Name::parse("one");
    vm.memory_before = Bytes::parse("2G");
    EXPECT_EQ(encode(decode<VmRecord>(toml_to_json(json_to_toml(encode(vm)), "vm.toml"))), encode(vm));
}

TEST(VmDiskRemove, NamesTheDiskInItsPath) {
    const VmDiskRemove call{Name::parse("web"), DiskName::parse("data")};
    EXPECT_EQ(make_target(VmDiskRemove::route, encode(call)).target, "/v1/vms/web/disks/data");
}

TEST(VmResize, KeepsWhatIsNotGiven) {
    VmResize call;
    call.name = Name::parse("web");
    call.disk = NewSize::parse("+1G");
    EXPECT_EQ(encode(decode<VmResize>(encode(call))), encode(call));
}

} // namespace
} // namespace capsul
