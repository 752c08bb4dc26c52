#include "lib/sparse_writer.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace capsul {
namespace {

TEST(SparseWriter, WritesEveryByteAndTakesNoRoomForZeros) {
    const test::TemporaryFolder folder;
    const std::string content =
        "begin" + std::string(3'000'000, '\0') + "middle" + std::string(1'000'000, '\0');
    const UniqueFd fd = open_file(folder / "file", O_RDWR | O_CREAT);
    SparseWriter writer(fd.get(), "file");
    for (std::size_t at = 0; at < content.size(); at += 100'001) {
        writer.write(std::string_view(content).substr(at, 100'001));
    }
    writer.finish();
    EXPECT_EQ(writer.size(), content.size());
    EXPECT_TRUE(read_file(folder / "file", 1U << 30U) == content);
    struct stat status {};
    ASSERT_EQ(::fstat(fd.get(), &status), 0);
    EXPECT_LT(status.st_blocks * 512, 1'000'000);
}

TEST(SparseWriter, WritesNothing) {
    const test::TemporaryFolder folder;
    const UniqueFd fd = open_file(folder / "file", O_RDWR | O_CREAT);
    SparseWriter writer(fd.get(), "file");
    writer.write("");
    writer.finish();
    EXPECT_EQ(read_file(folder / "file"), "");
}

TEST(SparseWriter, SaysWhatCannotBeWritten) {
    const UniqueFd full = open_file("/dev/full", O_WRONLY);
    SparseWriter writer(full.get(), "the disk");
    try {
        writer.write("x");
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::no_space);
        EXPECT_NE(std::string(error.what()).find("the disk"), std::string::npos);
    }
}

} // namespace
} // namespace capsul
