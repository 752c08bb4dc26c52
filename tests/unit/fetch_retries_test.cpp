#include "daemon/fetch/retries.hpp"

#include <gtest/gtest.h>
#include <set>

namespace capsul::fetch {
namespace {

using namespace std::chrono_literals;

const PassingError busy(ErrorCode::unreachable, "busy", "try it later");

FetchPatience patience(int tries) {
    FetchPatience patience;
    patience.tries = tries;
    patience.first_wait = Duration(100ms);
    patience.longest_wait = Duration(1s);
    return patience;
}

TEST(Retries, WaitTwiceAsLongEachTimeAndNeverTheSame) {
    std::set<std::chrono::milliseconds> first;
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        Retries retries(patience(10), seed);
        for (const auto longest : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
            const auto wait = retries.wait_after(busy, false);
            EXPECT_GE(wait, longest / 2);
            EXPECT_LE(wait, longest);
            if (longest == 100ms) {
                first.insert(wait);
            }
        }
        EXPECT_EQ(retries.attempt(), 7);
    }
    EXPECT_GT(first.size(), 5U);
}

TEST(Retries, EndWithWhatWasWrong) {
    Retries retries(patience(3), 1);
    (void)retries.wait_after(busy, false);
    (void)retries.wait_after(busy, false);
    try {
        (void)retries.wait_after(busy, false);
        FAIL() << "goes on for ever";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::unreachable);
        EXPECT_STREQ(error.what(), "busy (tried 3 times)");
        EXPECT_EQ(error.hint(), "try it later");
    }
}

TEST(Retries, BeginAnewWithWhatBringsSomething) {
    Retries retries(patience(2), 1);
    for (int i = 0; i < 50; ++i) {
        (void)retries.wait_after(busy, false);
        EXPECT_EQ(retries.attempt(), 2);
        EXPECT_LE(retries.wait_after(busy, true), 100ms);
        EXPECT_EQ(retries.attempt(), 1);
    }
}

TEST(Retries, EndEvenWithWhatAlwaysBringsALittle) {
    Retries retries(patience(2), 1);
    for (int i = 1; i < Retries::most_in_all; ++i) {
        (void)retries.wait_after(busy, true);
    }
    EXPECT_THROW((void)retries.wait_after(busy, true), Error);
}

TEST(Retries, WaitAsLongAsTheServerWantsWithinReason) {
    Retries retries(patience(9), 1);
    EXPECT_EQ(retries.wait_after(PassingError(ErrorCode::unreachable, "", "", 1s), false), 1s);
    EXPECT_EQ(retries.wait_after(PassingError(ErrorCode::unreachable, "", "", 3600s), false), 1s);
    EXPECT_GE(retries.wait_after(PassingError(ErrorCode::unreachable, "", "", 0s), false), 200ms);
}

TEST(FetchPatience, HasBounds) {
    EXPECT_NO_THROW(check_patience({}));
    for (const int tries : {0, -1, 101}) {
        EXPECT_THROW(check_patience(patience(tries)), Error);
    }
    FetchPatience hasty;
    hasty.stall = Duration(999ms);
    EXPECT_THROW(check_patience(hasty), Error);
}

} // namespace
} // namespace capsul::fetch
