#include "daemon/tar_writer.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <random>
#include <sys/mount.h>

namespace capsul {
namespace {

class TarWriterFullDisk : public testing::Test {
  protected:
    void SetUp() override {
        if (::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=1M") != 0) {
            GTEST_SKIP() << "a small tmpfs cannot be mounted here: " << std::strerror(errno);
        }
    }
    void TearDown() override { ::umount(folder_.path().c_str()); }

    const test::TemporaryFolder folder_;
};

TEST_F(TarWriterFullDisk, IsSaid) {
    std::string noise(std::size_t{3} << 20U, '\0'); // cannot be compressed
    std::mt19937 random;                            // NOLINT(cert-msc*): always the same
    for (char& byte : noise) {
        byte = static_cast<char>(random());
    }
    for (const bool zstd : {false, true}) {
        const auto file = folder_ / (zstd ? "packed" : "plain");
        try {
            TarWriter tar(file, {.work = "writing the backup", .zstd = zstd});
            tar.add_text("noise", noise);
            ADD_FAILURE();
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::no_space);
            EXPECT_STREQ(error.what(), "writing the backup: No space left on device");
        }
        std::filesystem::remove(file);
    }
}

TEST(TarWriter, WhatIsGivenUpIsNotFilledUp) {
    const test::TemporaryFolder folder;
    for (const bool zstd : {false, true}) {
        const auto file = folder / (zstd ? "packed" : "plain");
        {
            TarWriter tar(file, {.work = "writing", .zstd = zstd});
            tar.begin("disk", std::uint64_t{4} << 30U);
            tar.add("x");
        }
        EXPECT_LT(std::filesystem::file_size(file), 10'000U);
    }
}

} // namespace
} // namespace capsul
