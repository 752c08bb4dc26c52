#include "daemon/vmdk_header.hpp"

#include "lib/error.hpp"

#include <fmt/format.h>
#include <functional>
#include <gtest/gtest.h>
#include <string>

namespace capsul {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30U;

void put(std::string& bytes, std::size_t offset, std::uint64_t number, std::size_t length = 8) {
    for (std::size_t i = 0; i < length; ++i) {
        bytes[offset + i] = static_cast<char>(number >> (8 * i));
    }
}

std::string vmdk(const std::string& type, const std::string& parent, const std::string& extents) {
    std::string bytes(std::size_t{64} << 10U, '\0');
    bytes.replace(0, 4, "KDMV");
    put(bytes, 4, 1, 4);
    put(bytes, 12, gib / 512);
    put(bytes, 28, 1);
    put(bytes, 36, 20);
    const std::string text = fmt::format("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID={}\n"
                                         "createType=\"{}\"\n\n# Extent description\n{}",
                                         parent, type, extents);
    return bytes.replace(512, text.size(), text);
}

const std::string one_extent = "RW 2097152 SPARSE \"disk.vmdk\"\n";

std::string good() {
    return vmdk("monolithicSparse", "ffffffff", one_extent);
}

ErrorCode refusal(const std::string& bytes, const std::string& word) {
    try {
        check_vmdk_header(bytes, 4 * gib);
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
        return error.code();
    }
    ADD_FAILURE() << "is taken";
    return ErrorCode::internal;
}

TEST(VmdkHeader, TakesADiskThatIsWholeInItself) {
    EXPECT_NO_THROW(check_vmdk_header(good(), gib));
    EXPECT_NO_THROW(check_vmdk_header(vmdk("streamOptimized", "FFFFFFFF", one_extent), gib));
}

TEST(VmdkHeader, RefusesDataInOtherFiles) {
    EXPECT_EQ(refusal("# Disk DescriptorFile\nversion=1\n", "other files"), ErrorCode::invalid);
    EXPECT_EQ(refusal(vmdk("twoGbMaxExtentSparse", "ffffffff", one_extent), "several"), ErrorCode::invalid);
    EXPECT_EQ(refusal(vmdk("monolithicFlat", "ffffffff", "RW 2097152 FLAT \"/etc/passwd\" 0\n"), "several"),
              ErrorCode::invalid);
    EXPECT_EQ(refusal(vmdk("monolithicSparse", "ffffffff", "RW 2097152 FLAT \"/etc/passwd\" 0\n"), "extents"),
              ErrorCode::invalid);
    EXPECT_EQ(refusal(vmdk("monolithicSparse", "ffffffff", one_extent + one_extent), "extents"),
              ErrorCode::invalid);
    std::string no_capacity = good();
    put(no_capacity, 12, 0);
    EXPECT_EQ(refusal(no_capacity, "extents"), ErrorCode::invalid);
    std::string no_descriptor = good();
    put(no_descriptor, 28, 0);
    EXPECT_EQ(refusal(no_descriptor, "several"), ErrorCode::invalid);
}

TEST(VmdkHeader, RefusesADifference) {
    EXPECT_EQ(refusal(vmdk("monolithicSparse", "12345678", one_extent), "another disk"), ErrorCode::invalid);
    EXPECT_EQ(refusal(vmdk("monolithicSparse", "ffffffff", "parentFileNameHint=\"x\"\n" + one_extent),
                      "another disk"),
              ErrorCode::invalid);
}

TEST(VmdkHeader, RefusesOldAndNewerKinds) {
    EXPECT_EQ(refusal("COWD" + std::string(2048, '\0'), "ESX"), ErrorCode::invalid);
    std::string newer = good();
    put(newer, 4, 4, 4);
    EXPECT_EQ(refusal(newer, "version"), ErrorCode::invalid);
}

TEST(VmdkHeader, RefusesADiskLargerThanAllowed) {
    for (const std::uint64_t sectors : {4 * gib / 512 + 1, UINT64_MAX}) {
        std::string large = good();
        put(large, 12, sectors);
        EXPECT_EQ(refusal(large, "more than"), ErrorCode::too_large);
    }
}

TEST(VmdkHeader, RefusesADescriptorOutsideTheFile) {
    for (const std::uint64_t offset : {std::uint64_t{128}, UINT64_MAX}) {
        std::string outside = good();
        put(outside, 28, offset);
        EXPECT_EQ(refusal(outside, "damaged"), ErrorCode::verification);
    }
    std::string long_one = good();
    put(long_one, 36, UINT64_MAX);
    EXPECT_EQ(refusal(long_one, "damaged"), ErrorCode::verification);
}

TEST(VmdkHeader, RefusesEveryTruncation) {
    for (std::size_t length = 4; length < 512; ++length) {
        EXPECT_EQ(refusal(good().substr(0, length), "damaged"), ErrorCode::verification);
    }
}

} // namespace
} // namespace capsul
