#include "daemon/server.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace capsul {
namespace {

class ListenUnix : public testing::Test {
  protected:
    ErrorCode refusal() {
        try {
            static_cast<void>(listen_unix(path_));
        } catch (const Error& error) {
            return error.code();
        }
        ADD_FAILURE() << "no Error was thrown";
        return ErrorCode::internal;
    }

    test::TemporaryFolder temporary_;
    std::filesystem::path folder_ = temporary_.path();
    std::filesystem::path path_ = folder_ / "capsul/s.sock";
};

TEST_F(ListenUnix, ListensForTheOwnerAlone) {
    const UniqueFd listener = listen_unix(path_);
    struct stat status {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
    EXPECT_NO_THROW(static_cast<void>(connect_unix(path_)));
}

TEST_F(ListenUnix, ReplacesOneThatNobodyAnswers) {
    { const UniqueFd first = listen_unix(path_); }
    const UniqueFd second = listen_unix(path_);
    EXPECT_NO_THROW(static_cast<void>(connect_unix(path_)));
}

TEST_F(ListenUnix, RefusesOneThatIsAlive) {
    const UniqueFd first = listen_unix(path_);
    EXPECT_EQ(refusal(), ErrorCode::in_use);
    EXPECT_NO_THROW(static_cast<void>(connect_unix(path_)));
}

TEST_F(ListenUnix, RefusesOneThatIsAliveButBusy) {
    const UniqueFd first = listen_unix(path_);
    ASSERT_EQ(::listen(first.get(), 0), 0);
    const UniqueFd queued = connect_unix(path_);
    EXPECT_EQ(refusal(), ErrorCode::in_use);
}

TEST_F(ListenUnix, LeavesAFileThatIsInTheWay) {
    std::filesystem::create_directories(path_.parent_path());
    { const UniqueFd file = open_file(path_, O_CREAT | O_WRONLY); }
    EXPECT_EQ(refusal(), ErrorCode::exists);
    EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(ListenUnix, RefusesAPathTooLongForASocket) {
    path_ = folder_ / std::string(120, 'x');
    EXPECT_EQ(refusal(), ErrorCode::invalid);
}

} // namespace
} // namespace capsul
