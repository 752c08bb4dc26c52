#include "daemon/user_units.hpp"

#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <gtest/gtest.h>
#include <set>

namespace capsul {
namespace {

class UserUnitsTest : public testing::Test {
  protected:
    UserUnitsTest() { paths_.units = folder_.path(); }

    std::set<std::string> files() const {
        std::set<std::string> names;
        for (const auto& entry : fs::directory_iterator(paths_.units)) {
            names.insert(entry.path().filename().string());
        }
        return names;
    }

    test::TemporaryFolder folder_;
    Paths paths_;
};

TEST_F(UserUnitsTest, ASweepFindsUnitsOfEachKindThatWereBeingWritten) {
    for (const char* const unit :
         {"capsul-vm-web.service", "capsul-tap-web.service", "capsul-publish-web.socket",
          "capsul-net-lan.service", "capsul-dhcp-lan.service", "capsul-peer-lan.service",
          "capsul-fetch-disk-0a.service", "capsul-tool-0168be17-2832-44b8-ab96-9bcac5104b47.service",
          "capsul-build-0168be17-2832-44b8-ab96-9bcac5104b47.service"}) {
        replace_file(paths_.units / ("." + std::string(unit) + ".a1B2c3"), "half");
    }
    UserUnits(paths_).sweep();
    EXPECT_EQ(files(), std::set<std::string>{});
}

TEST_F(UserUnitsTest, ASweepLeavesWhatIsWholeAndWhatIsNotCapsuls) {
    const std::set<std::string> others{"capsul-vm-web.service",
                                       ".capsul-vm-web.service.swp",
                                       ".capsul-vm-web.service",
                                       "capsul-vm-web.service.a1B2c3",
                                       ".other.service.a1B2c3",
                                       ".capsul-notes.backup",
                                       ".capsul-notes.backup.a1B2c3",
                                       ".a1B2c3",
                                       "..a1B2c3"};
    for (const std::string& name : others) {
        replace_file(paths_.units / name, "whole");
    }
    UserUnits(paths_).sweep();
    EXPECT_EQ(files(), others);
}

TEST_F(UserUnitsTest, ThereIsNothingToSweepWithoutAFolder) {
    paths_.units = folder_ / "none";
    EXPECT_NO_THROW(UserUnits(paths_).sweep());
}

} // namespace
} // namespace capsul
