#include "daemon/build_needs.hpp"

#include "lib/error.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

/// The command that would give `user` what is missing; empty when nothing is.
std::string command_for(const char* user, const char* subuid, const char* subgid) {
    try {
        require_subordinate_ids(subuid, subgid, user);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_capable);
        return error.hint();
    }
    return {};
}

TEST(SubordinateIds, AreEnoughForADebian) {
    EXPECT_EQ(command_for("alice", "bob:100000:65536\nalice:165536:65536\n", "alice:165536:65536\n"), "");
    EXPECT_EQ(command_for("alice", "alice:165536:131072", "alice:165536:65536"), "");
}

TEST(SubordinateIds, WhenThereAreNoneAreToBeAddedBehindAllOthers) {
    EXPECT_EQ(command_for("alice", "", ""),
              "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 alice");
    EXPECT_EQ(command_for("alice", "bob:200000:65536\ncarol:100000:65536\n", "bob:300000:10\n"),
              "sudo usermod --add-subuids 265536-331071 --add-subgids 300010-365545 alice");
}

TEST(SubordinateIds, OfOneKindOnlyAreToBeCompleted) {
    EXPECT_EQ(command_for("alice", "alice:100000:65536\n", ""),
              "sudo usermod --add-subgids 100000-165535 alice");
    EXPECT_EQ(command_for("alice", "alice:100000:1000\n", "alice:100000:65536\n"),
              "sudo usermod --add-subuids 101000-166535 alice");
}

TEST(SubordinateIds, OfAnotherAreNotTaken) {
    EXPECT_NE(command_for("al", "alice:100000:65536\n", "alice:100000:65536\n"), "");
    EXPECT_NE(command_for("alice", "al:100000:65536\n", "al:100000:65536\n"), "");
}

TEST(SubordinateIds, InLinesThatAreNoneArePassedOver) {
    EXPECT_NE(command_for("alice", "alice:many:65536\nalice\n::\nalice:1:\n\n", "alice:100000:65536 \n"), "");
}

} // namespace
} // namespace capsul
