#include "daemon/unit_sandbox.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

std::string inaccessible(const std::string& lines) {
    const auto start = lines.find("InaccessiblePaths=");
    return lines.substr(start, lines.find('\n', start) - start);
}

} // namespace

TEST(DiskLines, MakeWhatMayBeMountedInaccessible) {
    EXPECT_EQ(inaccessible(disk_lines("/usr/libexec/capsul", {"/home/alice/.local/share/capsul/vms"})),
              "InaccessiblePaths=-/boot -/srv -/mnt -/media");
}

TEST(DiskLines, LeaveWhereTheProgramsAre) {
    EXPECT_EQ(inaccessible(disk_lines("/srv/capsul/libexec", {"/home/alice/vms"})),
              "InaccessiblePaths=-/boot -/mnt -/media");
}

TEST(DiskLines, LeaveWhereSomethingIsShownOfAnEmptiedFolder) {
    const std::string lines = disk_lines("/usr/libexec/capsul", {"/mnt/vms", "/media/images"});
    EXPECT_EQ(inaccessible(lines), "InaccessiblePaths=-/boot -/srv");
    EXPECT_EQ(inaccessible(disk_lines("/usr/libexec/capsul", {"/mnt"})),
              "InaccessiblePaths=-/boot -/srv -/media");
    EXPECT_NE(lines.find("TemporaryFileSystem=%h:ro /mnt/vms:ro /media/images:ro\n"), std::string::npos);
}

} // namespace capsul
