#include "daemon/seed_iso.hpp"

#include "daemon/process.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <chrono>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

using Files = std::map<std::string, std::string>;
using namespace std::chrono_literals;

const Files nocloud{
    {"meta-data", "{}\n"}, {"user-data", "#cloud-config\n"}, {"network-config", "n"}, {"vendor-data", "v"}};

/// The files in an ISO image; `options` chooses whose names are read.
Files read_iso(const std::string& iso, const char* options) {
    const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
    archive_read_support_format_iso9660(reader.get());
    EXPECT_EQ(archive_read_set_options(reader.get(), options), ARCHIVE_OK);
    EXPECT_EQ(archive_read_open_memory(reader.get(), iso.data(), iso.size()), ARCHIVE_OK);
    Files files;
    archive_entry* entry = nullptr;
    while (archive_read_next_header(reader.get(), &entry) == ARCHIVE_OK) {
        if (archive_entry_filetype(entry) == AE_IFREG) {
            std::string content(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
            EXPECT_EQ(archive_read_data(reader.get(), content.data(), content.size()),
                      static_cast<la_ssize_t>(content.size()));
            files[archive_entry_pathname(entry)] = content;
        }
    }
    return files;
}

TEST(SeedIso, HoldsTheFilesUnderTheirNamesInRockRidge) {
    EXPECT_EQ(read_iso(seed_iso(nocloud), "!joliet"), nocloud);
}

TEST(SeedIso, HoldsTheFilesUnderTheirNamesInJoliet) {
    EXPECT_EQ(read_iso(seed_iso(nocloud), "!rockridge"), nocloud);
}

TEST(SeedIso, HoldsContentOfAnySize) {
    const Files files{{"user-data", std::string(65536, 'x')},
                      {"meta-data", ""},
                      {"vendor-data", std::string(100000, '\n')}};
    EXPECT_EQ(read_iso(seed_iso(files), "!joliet"), files);
}

TEST(SeedIso, IsReadAsItWasWritten) {
    const Files files{{"user-data", std::string(65536, 'x')},
                      {"meta-data", ""},
                      {"vendor-data", std::string(100000, '\n')}};
    EXPECT_EQ(files_in_seed_iso(seed_iso(files)), files);
    EXPECT_EQ(files_in_seed_iso(seed_iso(nocloud)), nocloud);
    EXPECT_THROW(static_cast<void>(files_in_seed_iso("")), Error);
    EXPECT_THROW(static_cast<void>(files_in_seed_iso(std::string(100000, 'x'))), Error);
}

TEST(SeedIso, IsTheSameAtAnotherTime) {
    const std::string first = seed_iso(nocloud);
    std::this_thread::sleep_for(1100ms); // its clock counts seconds
    EXPECT_EQ(seed_iso(nocloud), first);
}

TEST(SeedIso, IsFoundByItsLabel) {
    std::string file = (std::filesystem::temp_directory_path() / "capsul-seed-XXXXXX").string();
    const UniqueFd fd(::mkstemp(file.data()));
    write_all(fd.get(), seed_iso(nocloud), file);
    const ProcessResult result = run_process({"blkid", "-p", "-o", "export", file}, 10s);
    ::unlink(file.c_str());
    EXPECT_NE(result.out.find("LABEL=cidata\n"), std::string::npos) << result.out << result.err;
    EXPECT_NE(result.out.find("TYPE=iso9660\n"), std::string::npos) << result.out;
}

} // namespace
} // namespace capsul
