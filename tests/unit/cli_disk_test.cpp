#include "cli/disk_view.hpp"
#include "cli/vm_view.hpp"

#include <gtest/gtest.h>

namespace capsul::cli {
namespace {

Vm vm_with_disks() {
    VmRecord record;
    record.disk = Bytes::parse("20G");
    record.disks = {
        {DiskName::parse("data"), 0, Bytes::parse("5G"), Timestamp::parse("2026-11-27T19:15:03Z")}};
    record.snapshots = {{Name::parse("one"),
                         Timestamp::parse("2026-11-27T19:15:03Z"),
                         {{"root", Bytes::parse("20G")}},
                         true,
                         true},
                        {Name::parse("two"), Timestamp::parse("2026-11-27T19:16:03Z"), {}, false, false}};
    Vm vm;
    vm.name = Name::parse("web");
    vm.spec = record;
    vm.disk_usage = {{"root", 3U << 20U}};
    return vm;
}

TEST(DiskView, HasTheFirstDiskAndThoseForData) {
    const std::vector<DiskView> disks = disk_views(vm_with_disks());
    ASSERT_EQ(disks.size(), 2U);
    EXPECT_EQ(disks[0].name, "root");
    EXPECT_EQ(disks[0].used, 3U << 20U);
    EXPECT_FALSE(disks[0].guest_path);
    EXPECT_EQ(disks[1].guest_path, "/dev/disk/by-id/virtio-data");
    EXPECT_FALSE(disks[1].used) << "its file could not be looked at";
    EXPECT_TRUE(disk_views(Vm()).empty());
}

TEST(DiskView, IsPrintedRoundForPeopleAndExactForPrograms) {
    OutputOptions options;
    EXPECT_EQ(make_grid(disk_views(vm_with_disks()), disk_columns(), options).rows[0][2].text, "3.0 MiB");
    options.format = Format::csv;
    const auto row = make_grid(disk_views(vm_with_disks()), disk_columns(), options).rows[0];
    EXPECT_EQ(row[1].text, std::to_string(std::uint64_t{20} << 30U));
    EXPECT_EQ(row[2].text, std::to_string(3U << 20U));
}

TEST(VmView, ShowsDataDisksAndSnapshots) {
    const std::string text = render_vm(vm_with_disks(), {});
    EXPECT_NE(text.find("Disk data:       5G, /dev/disk/by-id/virtio-data\n"), std::string::npos) << text;
    EXPECT_NE(text.find("Snapshot:        one, 2026-11-27T19:15:03Z\n"), std::string::npos) << text;
    EXPECT_NE(text.find("two, 2026-11-27T19:16:03Z, unfinished\n"), std::string::npos) << text;
}

} // namespace
} // namespace capsul::cli
