// Backups that are damaged on their way: no other content is ever taken for what was backed up.
#include "daemon/backup_manifest.hpp"
#include "tests/integration/backup_fixture.hpp"

#include <optional>

namespace capsul {
namespace {

constexpr std::size_t longest = std::size_t{1} << 30U;

std::string with_other_bit(std::string bytes, std::size_t at, unsigned bit = 0) {
    bytes.at(at) = static_cast<char>(static_cast<unsigned char>(bytes.at(at)) ^ (1U << bit));
    return bytes;
}

class VmRestoreDamageTest : public VmBackupTest {
  protected:
    /// The backup of a stopped VM, brought to a host where nothing of it is.
    void SetUp() override {
        VmBackupTest::SetUp();
        VmCreate call = wanted("web");
        call.start = false;
        call.labels = {{"tier", "test"}};
        run(call);
        write(web_, "root", 1);
        archive_ = fetched(back_up(web_));
        tar_ = unpacked(archive_).value();
        change_host();
    }

    /// By the tool that a sysadmin has; nothing where it finds damage.
    std::optional<std::string> unpacked(const std::string& archive) { return by_zstd({"-d"}, archive); }

    std::string packed(const std::string& tar, const std::string& option) {
        return by_zstd({option}, tar).value();
    }

    /// A frame of zstd (RFC 8878) in which everything stands as it is, so that each of its bits is known;
    /// with the checksum of `original`.
    std::string stored(std::string_view tar, const std::string& original) {
        constexpr std::size_t most = std::size_t{128} << 10U;
        std::string frame = "\x28\xb5\x2f\xfd\x04\x38"; // a checksum; a window of 128 KiB
        while (!tar.empty()) {
            const std::string_view block = tar.substr(0, most);
            tar.remove_prefix(block.size());
            const std::size_t header = block.size() << 3U | (tar.empty() ? 1U : 0U);
            for (unsigned shift = 0; shift < 24; shift += 8) {
                frame += static_cast<char>(header >> shift & 0xffU);
            }
            frame += block;
        }
        const std::string sum = packed(original, "--check");
        return frame + sum.substr(sum.size() - 4);
    }

    std::string archive_;
    std::string tar_; ///< that is in it

  private:
    std::optional<std::string> by_zstd(std::vector<std::string> options, const std::string& content) {
        const fs::path in = folder_.path() / "in";
        const fs::path out = folder_.path() / "out";
        replace_file(in, content);
        options.insert(options.begin(), "zstd");
        options.insert(options.end(), {"-q", "-f", in.string(), "-o", out.string()});
        return run_process(options, 60s).status == 0 ? std::optional(read_file(out, longest)) : std::nullopt;
    }
};

/// Some bits of zstd's own have no meaning: with another one there, the content is the same.
TEST_F(VmRestoreDamageTest, ABitThatIsAnotherIsRefusedWhereverItIs) {
    constexpr std::size_t places = 48;
    std::size_t damaged = 0;
    for (std::size_t i = 0; i < places; ++i) {
        const std::size_t at = i * (archive_.size() - 1) / (places - 1);
        const std::string changed = with_other_bit(archive_, at, i % 8);
        if (unpacked(changed) != tar_) {
            SCOPED_TRACE(fmt::format("bit {} of byte {} of {}", i % 8, at, archive_.size()));
            refuse(changed, ErrorCode::verification, "damaged");
            ++damaged;
        }
    }
    EXPECT_GT(damaged, places / 2);
}

/// However far behind the members the checksum stands.
TEST_F(VmRestoreDamageTest, WhatNoSumOfTheManifestIsAboutIsVerifiedToo) {
    const std::string tar = tar_ + std::string(std::size_t{1} << 20U, '\0');
    const std::size_t label = tar.find("\"test\"");
    ASSERT_NE(label, std::string::npos);
    for (const std::size_t at : {label + 1, tar.find('\0', label), tar_.size() - 1, tar.size() - 1}) {
        SCOPED_TRACE(at);
        refuse(stored(with_other_bit(tar, at), tar), ErrorCode::verification, "damaged");
    }
    restore(sent(stored(tar, tar)));
    EXPECT_EQ(record(web_).labels.at("tier"), "test");
}

TEST_F(VmRestoreDamageTest, WhatEndsEarlyIsRefused) {
    for (const std::size_t missing :
         {std::size_t{1}, std::size_t{4}, archive_.size() / 2, archive_.size() - 20}) {
        SCOPED_TRACE(missing);
        refuse(archive_.substr(0, archive_.size() - missing), ErrorCode::verification, "damaged");
    }
}

TEST_F(VmRestoreDamageTest, WhatGoesOnAfterItsEndIsRefused) {
    for (const std::string& more : {std::string("x"), std::string(10'000, 'x'), archive_}) {
        SCOPED_TRACE(more.size());
        refuse(archive_ + more, ErrorCode::verification, "damaged");
    }
    for (const std::string& more : {std::string("x"), std::string(10'000, 'x'), tar_}) {
        SCOPED_TRACE(more.size());
        refuse(tar_ + more, ErrorCode::verification, "damaged");
        refuse(packed(tar_ + more, "--check"), ErrorCode::verification, "damaged");
    }
    refuse(std::string(10'000, 'x'), ErrorCode::verification, "damaged");
}

/// As capsul wrote it before, and as anybody packs it.
TEST_F(VmRestoreDamageTest, WithoutAChecksumItIsTaken) {
    restore(sent(packed(tar_, "--no-check")));
    EXPECT_TRUE(has_byte(web_, "root", 1, "0"));
}

TEST_F(VmRestoreDamageTest, ItEndsInAChecksumThatZstdKnows) {
    EXPECT_FALSE(unpacked(with_other_bit(archive_, archive_.size() - 1)));
}

} // namespace
} // namespace capsul
