// What capsulctl says of a snapshot.
#include "tests/integration/capsulctl_fixture.hpp"

#include "lib/vm_disks.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace capsul::test {
namespace {

using testing::HasSubstr;
using testing::Not;

Outcome outcome_of_snapshot(bool frozen) {
    MadeUpDaemon daemon;
    Snapshot made;
    made.name = Name::parse("before");
    made.created = Timestamp::parse("2026-11-27T22:00:00Z");
    made.frozen = frozen;
    daemon.add_done<VmSnapshotCreate>(made);
    daemon.serve();
    return run_capsulctl(daemon, {"vm", "snapshot", "create", "web", "before"});
}

TEST(CapsulctlSnapshot, TellsHowConsistentItIsAndNotWhy) {
    const Outcome crash = outcome_of_snapshot(false);
    EXPECT_EQ(crash.code, 0) << crash.err;
    EXPECT_THAT(crash.err, HasSubstr("snapshot before made; crash-consistent: the guest's file systems were "
                                     "not put to rest"));
    const Outcome frozen = outcome_of_snapshot(true);
    EXPECT_EQ(frozen.code, 0) << frozen.err;
    EXPECT_THAT(frozen.err, HasSubstr("snapshot before made"));
    EXPECT_THAT(frozen.err, Not(HasSubstr("crash")));
}

} // namespace
} // namespace capsul::test
