#include "daemon/fetch/unpack.hpp"
#include "lib/error.hpp"
#include "tests/temporary_folder.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fstream>
#include <functional>
#include <gtest/gtest.h>
#include <random>
#include <sstream>
#include <sys/stat.h>

namespace capsul::fetch {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t mib = std::size_t{1} << 20U;

struct Member {
    std::string name;
    std::string content;
    unsigned type = AE_IFREG;
};

using AddFilter = int (*)(archive*);

void add(archive* writer, const Member& member) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.name.c_str());
    archive_entry_set_filetype(entry, member.type);
    archive_entry_set_perm(entry, 0600);
    if (member.type == AE_IFLNK) {
        archive_entry_set_symlink(entry, "/etc/passwd");
    }
    archive_entry_set_size(entry, static_cast<la_int64_t>(member.content.size()));
    EXPECT_EQ(archive_write_header(writer, entry), ARCHIVE_OK) << archive_error_string(writer);
    archive_write_data(writer, member.content.data(), member.content.size());
    archive_entry_free(entry);
}

std::string disk_content() {
    std::mt19937 random(1);
    std::string content(3 * mib + 5, '\0');
    for (std::size_t i = mib; i < 2 * mib; ++i) {
        content[i] = static_cast<char>(random());
    }
    return content;
}

class Unpack : public testing::Test {
  protected:
    /// What a publisher would make.
    void pack(AddFilter add_filter, AddFilter set_format, const std::vector<Member>& members) {
        archive* const writer = archive_write_new();
        ASSERT_EQ(add_filter(writer), ARCHIVE_OK) << archive_error_string(writer);
        ASSERT_EQ(set_format(writer), ARCHIVE_OK);
        ASSERT_EQ(archive_write_open_filename(writer, packed_.c_str()), ARCHIVE_OK);
        for (const Member& member : members) {
            add(writer, member);
        }
        ASSERT_EQ(archive_write_close(writer), ARCHIVE_OK);
        archive_write_free(writer);
    }
    void run(const char* max_size = "16M") {
        SparseFile disk(disk_, Bytes::parse(max_size), Space(folder_.path(), 0));
        unpack(packed_, packing_of(read_all(packed_)), disk, [&](std::uint64_t read) { read_ = read; });
    }
    /// The code of the error that it ends with.
    std::string refusal(const char* max_size = "16M") {
        try {
            run(max_size);
            return "none";
        } catch (const Error& error) {
            return std::string(to_string(error.code())) + ": " + error.what();
        }
    }
    static std::string read_all(const fs::path& file) {
        std::ostringstream content;
        content << std::ifstream(file, std::ios::binary).rdbuf();
        return content.str();
    }
    std::string unpacked() const { return read_all(disk_); }

    test::TemporaryFolder folder_;
    fs::path packed_ = folder_ / "packed";
    fs::path disk_ = folder_ / "disk";
    std::uint64_t read_ = 0;
};

TEST_F(Unpack, KnowsWhatDisksAreWrappedIn) {
    const std::string content = disk_content();
    for (const AddFilter filter : {archive_write_add_filter_xz, archive_write_add_filter_zstd,
                                   archive_write_add_filter_gzip, archive_write_add_filter_bzip2}) {
        pack(filter, archive_write_set_format_raw, {{"x", content}});
        run();
        EXPECT_TRUE(unpacked() == content);
        EXPECT_GT(read_, fs::file_size(packed_) / 2);
        EXPECT_LE(read_, fs::file_size(packed_));
        pack(filter, archive_write_set_format_pax, {{"folder", "", AE_IFDIR}, {"../../disk.raw", content}});
        run();
        EXPECT_TRUE(unpacked() == content);
    }
    pack(archive_write_add_filter_none, archive_write_set_format_ustar, {{"/etc/shadow", content}});
    run();
    EXPECT_TRUE(unpacked() == content);
}

TEST_F(Unpack, LeavesHolesForZeros) {
    pack(archive_write_add_filter_gzip, archive_write_set_format_raw, {{"x", disk_content()}});
    run();
    struct stat status {};
    ASSERT_EQ(::stat(disk_.c_str(), &status), 0);
    EXPECT_EQ(static_cast<std::size_t>(status.st_size), disk_content().size());
    EXPECT_LE(status.st_blocks * 512, static_cast<blkcnt_t>(mib + mib / 4));
}

TEST_F(Unpack, EndsABombEarly) {
    pack(archive_write_add_filter_gzip, archive_write_set_format_raw, {{"x", std::string(64 * mib, '\0')}});
    EXPECT_LE(fs::file_size(packed_), 100'000U);
    EXPECT_EQ(refusal("2M"), "too_large: unpacked, the disk is larger than the 2.0 MiB allowed");
    struct stat status {};
    ASSERT_EQ(::stat(disk_.c_str(), &status), 0);
    EXPECT_EQ(status.st_blocks, 0);
}

TEST_F(Unpack, RefusesAnArchiveOfSomethingElse) {
    const auto tar = [&](const std::vector<Member>& members) {
        pack(archive_write_add_filter_xz, archive_write_set_format_pax, members);
        return refusal();
    };
    EXPECT_EQ(tar({{"a", "x"}, {"b", "y"}}),
              "invalid: the archive holds more than one file: which one is the disk cannot be told");
    EXPECT_EQ(tar({{"a", "x"}, {"link", "", AE_IFLNK}}),
              "invalid: the archive holds something else than files");
    EXPECT_EQ(tar({{"device", "", AE_IFCHR}}), "invalid: the archive holds something else than files");
    EXPECT_EQ(tar({{"folder", "", AE_IFDIR}}), "invalid: the archive holds no file");
}

TEST_F(Unpack, FindsDamage) {
    for (const AddFilter filter : {archive_write_add_filter_xz, archive_write_add_filter_zstd,
                                   archive_write_add_filter_gzip, archive_write_add_filter_bzip2}) {
        pack(filter, archive_write_set_format_raw, {{"x", disk_content()}});
        fs::resize_file(packed_, fs::file_size(packed_) - 100);
        EXPECT_TRUE(refusal().starts_with("verification: the file cannot be unpacked: ")) << refusal();
    }
    pack(archive_write_add_filter_xz, archive_write_set_format_raw, {{"x", disk_content()}});
    {
        std::fstream file(packed_, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(fs::file_size(packed_) / 2));
        file << "damaged";
    }
    EXPECT_TRUE(refusal().starts_with("verification: ")) << refusal();
}

} // namespace
} // namespace capsul::fetch
