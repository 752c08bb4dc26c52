#include "daemon/zstd_writer.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <zstd.h>
#include <zstd_errors.h>

namespace capsul {
namespace {

/// What is in a frame, or why it is none.
std::string unpacked(std::string_view frame) {
    std::string content(std::size_t{4} << 20U, '\0');
    const std::size_t got = ZSTD_decompress(content.data(), content.size(), frame.data(), frame.size());
    if (ZSTD_isError(got) != 0) {
        return ZSTD_getErrorName(got);
    }
    content.resize(got);
    return content;
}

TEST(ZstdWriter, EachFrameIsVerifiedByItself) {
    const test::TemporaryFolder folder;
    const UniqueFd fd = open_file(folder / "file", O_WRONLY | O_CREAT);
    ZstdWriter writer(fd.get(), "writing");
    std::string content;
    for (int i = 0; i < 300'000; ++i) {
        content += std::to_string(i);
    }
    for (std::size_t at = 0; at < content.size(); at += 100'001) {
        writer.write(std::string_view(content).substr(at, 100'001));
    }
    writer.end_frame();
    writer.write("more");
    writer.end_frame();
    std::string written = read_file(folder / "file", 1U << 30U);
    EXPECT_LT(written.size(), content.size());
    const std::size_t first = ZSTD_findFrameCompressedSize(written.data(), written.size());
    ASSERT_LT(first, written.size());
    EXPECT_TRUE(unpacked(written.substr(0, first)) == content);
    EXPECT_EQ(unpacked(written.substr(first)), "more");
    written[first - 1] ^= 1;
    written.back() ^= 1;
    const std::string wrong = ZSTD_getErrorString(ZSTD_error_checksum_wrong);
    EXPECT_EQ(unpacked(written.substr(0, first)), wrong);
    EXPECT_EQ(unpacked(written.substr(first)), wrong);
}

TEST(ZstdWriter, SaysWhatCannotBeWritten) {
    const UniqueFd full = open_file("/dev/full", O_WRONLY);
    ZstdWriter writer(full.get(), "writing the backup");
    writer.write("x");
    try {
        writer.end_frame();
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::no_space);
        EXPECT_STREQ(error.what(), "writing the backup: No space left on device");
    }
}

} // namespace
} // namespace capsul
