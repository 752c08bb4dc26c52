#include "daemon/tool_unit.hpp"
#include "daemon/unit_file.hpp"
#include "lib/error.hpp"

#include "tests/unit/golden.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

ToolRun converting() {
    return {{"/usr/bin/qemu-img", "convert", "-O", "qcow2",
             R"(json:{"driver":"raw","file":{"driver":"file","filename":"/srv/capsul/uploads/one"}})",
             "/srv/capsul/uploads/two"},
            {"/srv/capsul/uploads/one"},
            {"/srv/capsul/uploads/two"},
            {std::chrono::seconds(150), std::uint64_t{1} << 30U, 70, std::uint64_t{3} << 30U},
            {"MALLOC_ARENA_MAX=1"}};
}

ToolPlaces places() {
    return {"/opt/capsul/libexec", "/srv/capsul", "/run/user/1000/capsul/tools/id.out",
            "/run/user/1000/capsul/tools/id.err"};
}

TEST(ToolUnit, IsAsGolden) {
    expect_golden("capsul-tool-convert.service", tool_unit(converting(), places()));
}

TEST(ToolUnit, GivesOneWithChildrenNamespacesOfItsOwn) {
    ToolRun run = converting();
    run.argv = {"/usr/bin/virt-sysprep", "--add", "/srv/capsul/uploads/two"};
    run.environment = {"LC_ALL=C.UTF-8", "LIBGUESTFS_BACKEND=direct"};
    run.readable = {"/srv/capsul/builds/id/appliance"};
    run.children = true;
    expect_golden("capsul-tool-clean.service", tool_unit(run, places()));
}

TEST(ToolUnit, ShowsEveryFileThatIsToBeRead) {
    ToolRun run = converting();
    run.readable = {"/srv/capsul/vms/web/disk.qcow2", "/srv/capsul/images/base.qcow2"};
    const std::string unit = tool_unit(run, places());
    EXPECT_NE(
        unit.find("capsul-run --ro /srv/capsul/vms/web/disk.qcow2 --ro /srv/capsul/images/base.qcow2 --rw"),
        std::string::npos)
        << unit;
    EXPECT_NE(unit.find("\nBindReadOnlyPaths=/srv/capsul/vms/web/disk.qcow2\n"
                        "BindReadOnlyPaths=/srv/capsul/images/base.qcow2\n"),
              std::string::npos)
        << unit;
}

TEST(ToolUnit, IsWholeAndStartsNothingAtBoot) {
    const std::string unit = tool_unit(converting(), places());
    EXPECT_EQ(check_seal(unit), SealState::whole);
    EXPECT_EQ(unit.find("[Install]"), std::string::npos);
}

TEST(ToolUnit, ShowsAFileToWriteToOnlyWhenThereIsOne) {
    ToolRun run = converting();
    run.writable.clear();
    EXPECT_EQ(tool_unit(run, places()).find("\nBindPaths="), std::string::npos);
    EXPECT_EQ(tool_unit(run, places()).find("--rw"), std::string::npos);
}

TEST(ToolUnit, ShowsEveryFileToWriteTo) {
    ToolRun run = converting();
    run.writable.emplace_back("/srv/capsul/uploads/three");
    const std::string unit = tool_unit(run, places());
    for (const char* const file : {"/srv/capsul/uploads/two", "/srv/capsul/uploads/three"}) {
        EXPECT_NE(unit.find(fmt::format("\nBindPaths={0}\nNoExecPaths={0}\n", file)), std::string::npos);
        EXPECT_NE(unit.find(fmt::format("--rw {}", file)), std::string::npos);
    }
}

TEST(ToolUnit, LetsTheFileItselfBeChangedOnlyWhenThatIsWanted) {
    ToolRun run = converting();
    run.writable = run.readable;
    const std::string unit = tool_unit(run, places());
    EXPECT_NE(unit.find("\nBindPaths=/srv/capsul/uploads/one\nNoExecPaths=/srv/capsul/uploads/one\n"),
              std::string::npos);
    EXPECT_EQ(unit.find("BindReadOnlyPaths=/srv/capsul/uploads/one"), std::string::npos);
    EXPECT_NE(unit.find("--rw /srv/capsul/uploads/one"), std::string::npos);
}

TEST(ToolUnit, RefusesAFileWhoseNameWouldBeAnotherLine) {
    ToolRun run = converting();
    run.readable.emplace_back("/srv/one\nExecStartPre=/bin/true");
    EXPECT_THROW(static_cast<void>(tool_unit(run, places())), Error);
}

TEST(ToolUnit, IsKnownByItsName) {
    EXPECT_TRUE(is_tool_unit(tool_unit_name(Uuid::make())));
    EXPECT_FALSE(is_tool_unit("capsul-vm-web.service"));
    EXPECT_FALSE(is_tool_unit("capsul-tool-x.service.d"));
}

} // namespace
} // namespace capsul
