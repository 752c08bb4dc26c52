// The records of images and aliases: what older capsuls wrote, and what this one writes.
#include "daemon/store.hpp"
#include "lib/fd.hpp"
#include "lib/toml.hpp"
#include "tests/temporary_folder.hpp"

#include <fstream>
#include <gtest/gtest.h>

namespace capsul {
namespace {

class ImageRecordsTest : public testing::Test {
  protected:
    ImageRecordsTest() {
        paths_.data = folder_.path();
        fs::create_directories(paths_.aliases());
    }
    void write(const fs::path& file, const std::string& text) const { std::ofstream(file) << text; }

    test::TemporaryFolder folder_;
    Paths paths_;
};

const std::string old_record = "format = 1\nname = 'debian-12'\ndigest = 'sha256:" + std::string(64, 'a') +
                               "'\nsize = '3G'\nimported = '2026-11-22T03:37:03Z'\n";

TEST_F(ImageRecordsTest, ReadsOneFromBeforeThereWereOriginsAndPins) {
    write(paths_.images() / "debian-12.toml", old_record);
    const ImageRecord record = Store(paths_).images.load(Name::parse("debian-12"));
    EXPECT_EQ(record.size, Bytes::parse("3G"));
    EXPECT_FALSE(record.pinned);
    EXPECT_FALSE(record.origin);
}

TEST_F(ImageRecordsTest, KeepsOriginPinAndKernelTogether) {
    auto record = decode<ImageRecord>(toml_to_json(old_record, "x"));
    record.pinned = true;
    record.boot = DirectKernel{record.digest, record.digest, "root=LABEL=root"};
    record.origin = ImageOrigin{"https://example.org/a.qcow2", Name::parse("debian"),
                                ImageVersion::parse("20261122"), Verification::signature};
    Store(paths_).images.save(record);
    EXPECT_EQ(encode(Store(paths_).images.load(record.name)), encode(record));
}

TEST_F(ImageRecordsTest, SaysOfWhichVmsDiskItWasMade) {
    auto record = decode<ImageRecord>(toml_to_json(old_record, "x"));
    EXPECT_FALSE(record.published);
    record.published = PublishedFrom{Name::parse("golden"), Name::parse("debian-12"), true};
    Store(paths_).images.save(record);
    const std::string text = read_file(paths_.images() / "debian-12.toml");
    EXPECT_NE(text.find("[published]\n"), std::string::npos) << text;
    EXPECT_NE(text.find("reset = true"), std::string::npos) << text;
    EXPECT_EQ(encode(Store(paths_).images.load(record.name)), encode(record));
    record.published = PublishedFrom{Name::parse("golden"), Name::parse("debian-12"), true, true};
    Store(paths_).images.save(record);
    EXPECT_TRUE(Store(paths_).images.load(record.name).published->cleaned);
    const std::string before = "[published]\nvm = 'golden'\nimage = 'debian-12'\nreset = true\n";
    EXPECT_FALSE(decode<ImageRecord>(toml_to_json(old_record + before, "x")).published->cleaned);
}

TEST_F(ImageRecordsTest, CallsARecordBrokenWhoseVerificationIsNone) {
    write(paths_.images() / "debian-12.toml",
          old_record + "[origin]\nurl = 'https://x'\nversion = '1'\nverified = 'surely'\n");
    const auto stored = Store(paths_).images.find(Name::parse("debian-12"));
    ASSERT_TRUE(stored);
    EXPECT_NE(stored->broken.find("signature"), std::string::npos) << stored->broken;
}

TEST_F(ImageRecordsTest, KeepsAliasesApartFromImages) {
    AliasRecord alias;
    alias.name = Name::parse("debian-12");
    alias.image = Name::parse("debian-12-20261122");
    alias.changed = Timestamp::parse("2026-11-22T03:37:03Z");
    Store store(paths_);
    store.aliases.save(alias);
    EXPECT_TRUE(fs::exists(paths_.images() / "aliases/debian-12.toml"));
    EXPECT_EQ(encode(Store(paths_).aliases.load(alias.name)), encode(alias));
    EXPECT_TRUE(store.images.list().empty());
    EXPECT_FALSE(store.images.exists(alias.name));
}

TEST_F(ImageRecordsTest, SaysThatItIsAnAliasWhichIsNotThere) {
    try {
        static_cast<void>(Store(paths_).aliases.load(Name::parse("debian-12")));
        ADD_FAILURE();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "image alias debian-12: does not exist");
        EXPECT_EQ(error.hint(), "`capsulctl image list` shows those there are");
    }
}

} // namespace
} // namespace capsul
