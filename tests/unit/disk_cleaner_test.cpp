#include "daemon/disk_cleaner.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace capsul {
namespace {

ProcessResult failed_with(std::string said) {
    return {1, "", std::move(said)};
}

TEST(DiskCleaner, NamesTheFormatAndGivesTheGuestNoNetwork) {
    const auto arguments = cleaning_arguments("/srv/one.qcow2");
    const auto has = [&](const std::vector<std::string>& words) {
        return !std::ranges::search(arguments, words).empty();
    };
    EXPECT_TRUE(has({"--format", "qcow2", "--add", "/srv/one.qcow2"}));
    EXPECT_TRUE(has({"--no-network"}));
}

TEST(DiskCleaner, EmptiesTheMachineIdLast) {
    const auto arguments = cleaning_arguments("/srv/one.qcow2");
    ASSERT_GE(arguments.size(), 2U);
    EXPECT_EQ(arguments.at(arguments.size() - 2), "--write");
    EXPECT_EQ(arguments.back(), "/etc/machine-id:");
}

TEST(DiskCleaner, NoticesFileSystemsThatWereLeftOut) {
    const auto said = [](const std::string& text) { return left_out({0, "", text}); };
    EXPECT_FALSE(said("virt-sysprep: warning: log file /tmp/builder.log: no such file (ignored)\n"));
    EXPECT_FALSE(said("virt-sysprep: warning: random seed could not be set for this type of guest\n"));
    EXPECT_EQ(said("x\nvirt-sysprep: warning: mount: wrong fs type (ignored)\n"),
              "virt-sysprep: warning: mount: wrong fs type (ignored)");
}

TEST(DiskCleaner, TellsTheErrorAndNotTheWarningsBeforeIt) {
    EXPECT_EQ(
        cleaning_complaint(failed_with("virt-sysprep: warning: log file\nvirt-sysprep: error: no operating "
                                       "systems were found\n\nIf reporting bugs, run\n")),
        "no operating systems were found");
    EXPECT_EQ(cleaning_complaint(failed_with("env: \x1b[31mno such file\n")), "env: ?[31mno such file");
    EXPECT_EQ(cleaning_complaint(failed_with("")), "virt-sysprep ended with status 1");
}

} // namespace
} // namespace capsul
