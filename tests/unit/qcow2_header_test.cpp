#include "daemon/image_format.hpp"
#include "daemon/qcow2_header.hpp"

#include "lib/error.hpp"

#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <string>

namespace capsul {
namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t cluster = 65536;
constexpr std::uint64_t gib = std::uint64_t{1} << 30U;
constexpr std::uint64_t max_size = 2048 * gib;

void put(std::string& bytes, std::size_t offset, std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) {
        bytes[offset + i] = static_cast<char>(value >> (8 * (width - 1 - i)));
    }
}
void put32(std::string& bytes, std::size_t offset, std::uint64_t value) {
    put(bytes, offset, value, 4);
}
void put64(std::string& bytes, std::size_t offset, std::uint64_t value) {
    put(bytes, offset, value, 8);
}

/// A 1 GiB disk as `qemu-img create` lays it out: header, refcount table, refcount block, L1 table.
std::string good_header(std::uint32_t version = 3) {
    std::string bytes(cluster, '\0');
    put32(bytes, 0, 0x514649FB);
    put32(bytes, 4, version);
    put32(bytes, 20, 16);
    put64(bytes, 24, gib);
    put32(bytes, 36, 2);
    put64(bytes, 40, 3 * cluster);
    put64(bytes, 48, cluster);
    put32(bytes, 56, 1);
    if (version == 3) {
        put32(bytes, 96, 4);
        put32(bytes, 100, 112);
    }
    return bytes;
}

constexpr std::uint64_t good_file_size = 3 * cluster + 16;

struct Refusal {
    ErrorCode code = ErrorCode::internal;
    std::string what;
};

/// How the good header fares after `change`.
Refusal refusal_of(const std::function<void(std::string&)>& change,
                   std::uint64_t file_size = good_file_size) {
    std::string header = good_header();
    change(header);
    try {
        static_cast<void>(check_qcow2_header(header, file_size, max_size));
    } catch (const Error& error) {
        return {error.code(), error.what()};
    }
    return {ErrorCode::internal, "not refused"};
}

#define EXPECT_REFUSED(refusal, wanted_code, words)                                                          \
    do {                                                                                                     \
        const Refusal got = (refusal);                                                                       \
        EXPECT_EQ(got.code, wanted_code) << got.what;                                                        \
        EXPECT_NE(got.what.find(words), std::string::npos) << got.what;                                      \
    } while (false)

TEST(Qcow2Header, AcceptsVersion2And3) {
    for (const std::uint32_t version : {2U, 3U}) {
        const Qcow2Header header = check_qcow2_header(good_header(version), good_file_size, max_size);
        EXPECT_EQ(header.version, version);
        EXPECT_EQ(header.virtual_size, gib);
        EXPECT_EQ(header.cluster_bits, 16U);
    }
}

TEST(Qcow2Header, RefusesOtherVersions) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 4, 1); }), ErrorCode::invalid, "version 1");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 4, 4); }), ErrorCode::invalid, "version 4");
}

TEST(Qcow2Header, RefusesBackingFileByOffsetOrLengthAlone) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 8, 512); }), ErrorCode::invalid, "backing file");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 16, 11); }), ErrorCode::invalid, "backing file");
}

TEST(Qcow2Header, RefusesEncryption) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 32, 1); }), ErrorCode::invalid, "encrypted");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 112, 0x0537BE77); }), ErrorCode::invalid, "encrypted");
}

TEST(Qcow2Header, RefusesDataFileByFeatureOrExtension) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 72, 4); }), ErrorCode::invalid, "another file");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 112, 0x44415441); }), ErrorCode::invalid,
                   "another file");
}

TEST(Qcow2Header, RefusesDirtyCorruptAndUnknownFeatures) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 72, 1); }), ErrorCode::invalid, "dirty");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 72, 2); }), ErrorCode::invalid, "corrupt");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 72, 32); }), ErrorCode::invalid, "0x20");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 72, std::uint64_t{1} << 63U); }), ErrorCode::invalid,
                   "does not know");
}

TEST(Qcow2Header, AcceptsZstdAndExtendedL2) {
    std::string header = good_header();
    put64(header, 72, 8 | 16);
    put32(header, 36, 4);
    header[104] = 1;
    EXPECT_EQ(check_qcow2_header(header, good_file_size + 16, max_size).virtual_size, gib);
}

TEST(Qcow2Header, RefusesCompressionTypeThatDisagreesWithItsBit) {
    EXPECT_REFUSED(refusal_of([](auto& h) { h[104] = 1; }), ErrorCode::invalid, "compressed");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 72, 8); }), ErrorCode::invalid, "compressed");
}

TEST(Qcow2Header, RefusesSizesOutOfRange) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 24, 0); }), ErrorCode::invalid, "zero");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 24, max_size + 1); }), ErrorCode::too_large, "2.0 TiB");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 24, ~std::uint64_t{0}); }), ErrorCode::too_large,
                   "allowed");
}

TEST(Qcow2Header, RefusesTablesOutsideTheFile) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 40, 4 * cluster); }), ErrorCode::verification,
                   "L1 table");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 40, 0); }), ErrorCode::verification, "L1 table");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 40, 3 * cluster + 8); }), ErrorCode::verification,
                   "L1 table");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 40, ~std::uint64_t{0} - cluster + 1); }),
                   ErrorCode::verification, "L1 table");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 36, 0xffffffff); }), ErrorCode::verification,
                   "L1 table");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 36, 1); }), ErrorCode::verification, "too small");
    EXPECT_REFUSED(refusal_of([](auto& h) { put64(h, 48, 9 * cluster); }), ErrorCode::verification,
                   "refcount");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 56, 0xffffffff); }), ErrorCode::verification,
                   "refcount");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 56, 0); }), ErrorCode::verification, "reference counts");
}

TEST(Qcow2Header, RefusesSnapshotsBeyondReason) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 60, 0xffffffff); }), ErrorCode::invalid, "snapshots");
    EXPECT_REFUSED(refusal_of([](auto& h) {
                       put32(h, 60, 1);
                       put64(h, 64, 7 * cluster);
                   }),
                   ErrorCode::verification, "snapshot table");
}

TEST(Qcow2Header, RefusesImpossibleGeometry) {
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 20, 8); }), ErrorCode::verification, "clusters");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 20, 63); }), ErrorCode::verification, "clusters");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 96, 7); }), ErrorCode::verification, "64 bits");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 100, 96); }), ErrorCode::verification, "length");
    EXPECT_REFUSED(refusal_of([](auto& h) { put32(h, 100, 0xfffffff8); }), ErrorCode::verification, "length");
}

TEST(Qcow2Header, RefusesExtensionThatLeavesTheCluster) {
    const auto lengthen = [](std::string& header) {
        put32(header, 112, 0x6803F857);
        put32(header, 116, 0xfffffff0);
    };
    EXPECT_REFUSED(refusal_of(lengthen), ErrorCode::verification, "extension");
}

TEST(Qcow2Header, RefusesEveryTruncationOfTheHeader) {
    const std::string header = good_header();
    for (std::size_t length = 0; length < 112; ++length) {
        EXPECT_THROW(static_cast<void>(check_qcow2_header(header.substr(0, length), length, max_size)), Error)
            << length;
    }
}

TEST(ImageFormat, TellsQcow2FromRaw) {
    EXPECT_EQ(recognise_image(good_header(), ""), ImageFormat::qcow2);
    EXPECT_EQ(recognise_image(std::string(4096, '\0'), std::string(512, '\0')), ImageFormat::raw);
    EXPECT_EQ(recognise_image("\xeb\x63\x90 boot loader"sv, ""), ImageFormat::raw);
}

struct Foreign {
    std::size_t offset;
    std::string_view magic;
    std::string_view name;
};

TEST(ImageFormat, KnowsWhatIsConverted) {
    for (const auto& [magic, format] :
         std::map<std::string, ImageFormat>{{"KDMV", ImageFormat::vmdk},
                                            {"COWD", ImageFormat::vmdk},
                                            {"# Disk DescriptorFile", ImageFormat::vmdk},
                                            {std::string(64, '\0') + "\x7f\x10\xda\xbe", ImageFormat::vdi},
                                            {"conectix", ImageFormat::vhd}}) {
        EXPECT_EQ(recognise_image(magic + std::string(4096, '\0'), ""), format) << magic;
    }
    EXPECT_EQ(recognise_image(std::string(4096, '\0'), "conectix" + std::string(504, '\0')),
              ImageFormat::vhd);
}

TEST(ImageFormat, KnowsWhatIsUnpacked) {
    for (const auto magic : {"\x1f\x8b\x08"sv, "\xfd\x37zXZ\0"sv, "\x28\xb5\x2f\xfd"sv, "BZh"sv}) {
        EXPECT_EQ(recognise_package(std::string(magic) + std::string(512, 'x')), Package::compressed);
    }
    EXPECT_EQ(recognise_package(std::string(257, '\0') + "ustar"), Package::tar);
    EXPECT_EQ(recognise_package(good_header()), std::nullopt);
    EXPECT_EQ(recognise_package("PK\3\4"sv), std::nullopt);
}

TEST(ImageFormat, RefusesEveryOtherDiskFormatAndArchive) {
    for (const Foreign& foreign :
         {Foreign{0, "vhdxfile"sv, "VHDX"}, Foreign{0, "QED\0"sv, "QED"},
          Foreign{0, "WithoutFreeSpace"sv, "Parallels"}, Foreign{0, "LUKS\xba\xbe"sv, "LUKS"},
          Foreign{0, "QFI\xfb\0\0\0\1"sv, "version 1"},
          Foreign{0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"sv, "cloop"},
          Foreign{0, "\x1f\x8b\x08"sv, "gzip"}, Foreign{0, "\xfd\x37zXZ\0"sv, "xz"},
          Foreign{0, "\x28\xb5\x2f\xfd"sv, "zstd"}, Foreign{0, "PK\3\4"sv, "zip"},
          Foreign{257, "ustar"sv, "tar"}}) {
        std::string start(4096, '\0');
        start.replace(foreign.offset, foreign.magic.size(), foreign.magic);
        try {
            static_cast<void>(recognise_image(start, ""));
            ADD_FAILURE() << foreign.name << " is taken";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::invalid);
            EXPECT_NE(std::string(error.what()).find(foreign.name), std::string::npos) << error.what();
            EXPECT_FALSE(error.hint().empty());
        }
    }
}

TEST(ImageFormat, RefusesFormatsThatShowAtTheEnd) {
    const std::string end = "koly" + std::string(508, '\0');
    EXPECT_THROW(static_cast<void>(recognise_image(std::string(4096, '\0'), end)), Error);
}

TEST(ImageFormat, KnowsKernels) {
    std::string kernel(4096, '\0');
    EXPECT_THROW(check_kernel(kernel), Error);
    EXPECT_THROW(check_kernel(""), Error);
    kernel.replace(0x202, 4, "HdrS");
    EXPECT_NO_THROW(check_kernel(kernel));
    EXPECT_NO_THROW(check_kernel("\x7f"
                                 "ELF kernel"));
}

TEST(ImageFormat, KnowsInitrds) {
    EXPECT_THROW(check_initrd(""), Error);
    EXPECT_THROW(check_initrd("hello"), Error);
    for (const auto magic :
         {"070701"sv, "\x1f\x8b"sv, "\x28\xb5\x2f\xfd"sv, "\xfd\x37zXZ\0"sv, "\x02\x21\x4c\x18"sv}) {
        EXPECT_NO_THROW(check_initrd(magic));
    }
}

TEST(ImageFormat, RefusesCommandLineThatIsNoText) {
    EXPECT_NO_THROW(check_kernel_cmdline("root=LABEL=root console=ttyS0"));
    EXPECT_NO_THROW(check_kernel_cmdline(std::string(1023, 'a')));
    EXPECT_THROW(check_kernel_cmdline(std::string(1024, 'a')), Error);
    EXPECT_THROW(check_kernel_cmdline("dyndbg=\"file x +p\""), Error) << "no VM could be made from it";
    EXPECT_THROW(check_kernel_cmdline("quiet\ninit=/bin/sh"), Error);
    EXPECT_THROW(check_kernel_cmdline("caf\xc3\xa9"), Error);
}

TEST(OwnQcow2Header, MayLieOverABaseAndBeInUse) {
    std::string header = good_header();
    put64(header, 8, 500);
    put32(header, 16, 20);
    put64(header, 72, 1); // dirty
    EXPECT_EQ(read_own_qcow2_header(header).virtual_size, gib);
}

TEST(OwnQcow2Header, TellsWhatItLiesOver) {
    std::string header = good_header();
    EXPECT_EQ(own_qcow2_base(header), "");
    const std::string base = "/srv/capsul/images/base.qcow2";
    header.resize(1024, '\0');
    header.replace(500, base.size(), base);
    put64(header, 8, 500);
    put32(header, 16, static_cast<std::uint32_t>(base.size()));
    EXPECT_EQ(own_qcow2_base(header), base);
    for (const std::uint64_t offset : {std::uint64_t{1000}, std::uint64_t{1025}, ~std::uint64_t{0}}) {
        put64(header, 8, offset);
        EXPECT_THROW(static_cast<void>(own_qcow2_base(header)), Error) << offset;
    }
    put64(header, 8, 1);
    for (const std::uint32_t length : {1024U, 0xffffffffU}) {
        put32(header, 16, length);
        EXPECT_THROW(static_cast<void>(own_qcow2_base(header)), Error) << length;
    }
}

TEST(OwnQcow2Header, RefusesWhatCapsulDoesNotMake) {
    const auto refused = [](const std::function<void(std::string&)>& change) {
        std::string header = good_header();
        change(header);
        EXPECT_THROW(static_cast<void>(read_own_qcow2_header(header)), Error);
    };
    refused([](std::string& header) { put32(header, 0, 0); });
    refused([](std::string& header) { put32(header, 4, 2); });
    refused([](std::string& header) { put32(header, 32, 1); });        // encrypted
    refused([](std::string& header) { put64(header, 72, 1U << 1U); }); // corrupt
    refused([](std::string& header) { put64(header, 72, 1U << 2U); }); // data elsewhere
    refused([](std::string& header) { header.resize(50); });
    refused([](std::string& header) { header.clear(); });
}

} // namespace
} // namespace capsul
