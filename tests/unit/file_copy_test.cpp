#include "daemon/file_copy.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

/// 1 MiB of data, a hole, 1 MiB of data, a hole up to `size`.
void write_sparse(const fs::path& file, std::uint64_t size) {
    const UniqueFd fd = open_file(file, O_WRONLY | O_CREAT | O_EXCL);
    write_all(fd.get(), std::string(mib, 'a'), file.string());
    ASSERT_EQ(::lseek(fd.get(), static_cast<off_t>(64 * mib), SEEK_SET), static_cast<off_t>(64 * mib));
    write_all(fd.get(), std::string(mib, 'b'), file.string());
    ASSERT_EQ(::ftruncate(fd.get(), static_cast<off_t>(size)), 0);
}

TEST(CopyFileSparsely, CopiesDataAndLeavesHolesOut) {
    const test::TemporaryFolder folder;
    const fs::path from = folder.path() / "from";
    const fs::path to = folder.path() / "to";
    write_sparse(from, 10'000 * mib);
    std::uint64_t told = 0;
    copy_file_sparsely(from, to, [&](std::uint64_t bytes) { told += bytes; });
    EXPECT_EQ(fs::file_size(to), 10'000 * mib);
    EXPECT_LE(allocated_bytes(to).value_or(10'000 * mib), 3 * mib);
    EXPECT_GE(told, 2 * mib);
    EXPECT_LE(told, 3 * mib);
    const UniqueFd fd = open_file(to, O_RDONLY);
    std::string got(2, '\0');
    ASSERT_EQ(::pread(fd.get(), got.data(), 1, 5), 1);
    ASSERT_EQ(::pread(fd.get(), got.data() + 1, 1, static_cast<off_t>(64 * mib + 5)), 1);
    EXPECT_EQ(got, "ab");
}

TEST(CopyFileSparsely, NeitherReplacesNorFollows) {
    const test::TemporaryFolder folder;
    const fs::path from = folder.path() / "from";
    replace_file(from, "data");
    replace_file(folder.path() / "there", "mine");
    EXPECT_THROW(copy_file_sparsely(from, folder.path() / "there", [](std::uint64_t) {}), Error);
    EXPECT_EQ(read_file(folder.path() / "there"), "mine");
    fs::create_symlink(from, folder.path() / "link");
    EXPECT_THROW(copy_file_sparsely(folder.path() / "link", folder.path() / "to", [](std::uint64_t) {}),
                 Error);
    EXPECT_THROW(copy_file_sparsely("/dev/zero", folder.path() / "to", [](std::uint64_t) {}), Error);
}

TEST(CopyFileSparsely, EndsWhenItIsToldTo) {
    const test::TemporaryFolder folder;
    write_sparse(folder.path() / "from", 100 * mib);
    const auto stop = [](std::uint64_t) { throw Error(ErrorCode::unreachable, "stopping"); };
    EXPECT_THROW(copy_file_sparsely(folder.path() / "from", folder.path() / "to", stop), Error);
}

} // namespace
} // namespace capsul
