#include "daemon/admission.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace capsul {
namespace {

constexpr Admission::Limits few{3, 2};

ErrorCode refusal(Admission& admission, const Peer& peer) {
    try {
        static_cast<void>(admission.admit(peer));
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "was admitted";
    return ErrorCode::internal;
}

TEST(Admission, AdmitsTheOwnerAndRootOnly) {
    Admission admission(1000, "", few);
    EXPECT_NO_THROW(static_cast<void>(admission.admit({1000, {}})));
    EXPECT_NO_THROW(static_cast<void>(admission.admit({0, {}})));
    EXPECT_EQ(refusal(admission, {1001, {0, 1000, 1001}}), ErrorCode::denied);
}

TEST(Admission, AdmitsMembersOfTheGroup) {
    const gid_t daemon = ::getgrnam("daemon")->gr_gid; // NOLINT(concurrency-mt-unsafe)
    Admission admission(1000, "daemon", few);
    EXPECT_NO_THROW(static_cast<void>(admission.admit({1001, {100, daemon}})));
    EXPECT_EQ(refusal(admission, {1002, {100}}), ErrorCode::denied);
}

TEST(Admission, RefusesAGroupThatIsNotThere) {
    EXPECT_THROW(Admission(1000, "no-such-group", few), Error);
}

TEST(Admission, LimitsEachUserAndAllOfThem) {
    Admission admission(1000, "", few);
    Admission::Place one = admission.admit({1000, {}});
    Admission::Place two = admission.admit({1000, {}});
    EXPECT_EQ(refusal(admission, {1000, {}}), ErrorCode::busy);
    Admission::Place three = admission.admit({0, {}});
    EXPECT_EQ(refusal(admission, {0, {}}), ErrorCode::busy) << "three in all";
    two.reset();
    EXPECT_NO_THROW(static_cast<void>(admission.admit({1000, {}})));
}

TEST(Admission, KnowsThePeerOfASocket) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    const Peer peer = Peer::of(ends[0]);
    EXPECT_EQ(peer.uid, ::geteuid());
    EXPECT_EQ(std::ranges::count(peer.groups, ::getegid()) > 0, true);
    ::close(ends[0]);
    ::close(ends[1]);
}

} // namespace
} // namespace capsul
