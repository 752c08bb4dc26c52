#include "lib/space.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <limits>

namespace capsul {
namespace {

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

class SpaceTest : public testing::Test {
  protected:
    ErrorCode refusal(std::uint64_t keep_free, std::uint64_t bytes) const {
        SpaceWatch watch(fd_.get(), "the disk", keep_free);
        try {
            watch.before(bytes);
        } catch (const Error& error) {
            EXPECT_TRUE(std::string(error.what()).starts_with("the disk: ")) << error.what();
            return error.code();
        }
        return ErrorCode::internal;
    }

    test::TemporaryFolder folder_;
    UniqueFd fd_ = open_file(folder_ / "file", O_WRONLY | O_CREAT);
    std::uint64_t free_ = free_space(fd_.get(), "the disk");
};

TEST_F(SpaceTest, LeavesToOthersWhatIsTheirs) {
    EXPECT_EQ(refusal(free_ + 100 * mib, 1), ErrorCode::no_space);
    EXPECT_EQ(refusal(free_ / 2, free_ - 10 * mib), ErrorCode::no_space);
    EXPECT_EQ(refusal(free_ / 2, std::numeric_limits<std::uint64_t>::max()), ErrorCode::no_space);
}

TEST_F(SpaceTest, TakesWhatThereIs) {
    SpaceWatch watch(fd_.get(), "the disk", free_ / 2);
    for (int i = 0; i < 100; ++i) {
        EXPECT_NO_THROW(watch.before(mib / 16));
    }
    EXPECT_NO_THROW(watch.before(0));
    EXPECT_NO_THROW(SpaceWatch(fd_.get(), "the disk", 0).before(std::numeric_limits<std::uint64_t>::max()));
}

} // namespace
} // namespace capsul
