#include "daemon/image_format.hpp"

#include "daemon/qemu_config.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <string>

namespace capsul {
namespace {

using namespace std::string_view_literals;

/// Bytes that stand at a certain place in every file of a format.
struct Magic {
    std::size_t offset;
    std::string_view bytes;
    std::string_view format; ///< as a person calls it
    std::string_view tool;   ///< the command that makes it usable
};

bool matches(std::string_view file, const Magic& magic) {
    return file.size() >= magic.offset && file.substr(magic.offset).starts_with(magic.bytes);
}

constexpr std::string_view convert = "qemu-img convert -O qcow2 FILE image.qcow2";

constexpr std::array other_disks{
    Magic{0, "QFI\xfb\0\0\0\1"sv, "a qcow (version 1) disk", convert},
    // Of one that is cut off, qemu-img reads zeros.
    Magic{0, "vhdxfile"sv, "a VHDX disk", convert},
    Magic{0, "QED\0"sv, "a QED disk", convert},
    Magic{0, "WithoutFreeSpace"sv, "a Parallels disk", convert},
    Magic{0, "WithouFreSpacExt"sv, "a Parallels disk", convert},
    Magic{0, "Bochs Virtual HD Image"sv, "a Bochs disk", convert},
    Magic{0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"sv, "a cloop disk", convert},
    Magic{0, "LUKS\xba\xbe"sv, "an encrypted (LUKS) disk",
          "qemu-img convert, with the key, to a plain qcow2"},
};

/// Those that capsul unpacks itself.
constexpr std::array compressed{
    Magic{0, "\x1f\x8b\x08"sv, "compressed with gzip", "gunzip FILE"},
    Magic{0,
          "\xfd"
          "7zXZ\0"sv,
          "compressed with xz", "unxz FILE"},
    Magic{0, "\x28\xb5\x2f\xfd"sv, "compressed with zstd", "unzstd FILE"},
    Magic{0, "BZh"sv, "compressed with bzip2", "bunzip2 FILE"},
};

constexpr Magic tar{257, "ustar"sv, "a tar archive", "tar -xf FILE"};

constexpr std::array other_archives{
    Magic{0, "\x04\x22\x4d\x18"sv, "compressed with lz4", "unlz4 FILE"},
    Magic{0, "LZIP"sv, "compressed with lzip", "lzip -d FILE"},
    Magic{0, "PK\3\4"sv, "a zip archive", "unzip FILE"},
    Magic{0, "7z\xbc\xaf\x27\x1c"sv, "a 7-Zip archive", "bsdtar -xf FILE"},
    tar,
};

/// Disks of these formats are converted.
struct KnownDisk {
    std::size_t offset;
    std::string_view bytes;
    ImageFormat format;
};

constexpr std::array known_disks{
    KnownDisk{0, "QFI\xfb"sv, ImageFormat::qcow2},
    KnownDisk{0, "KDMV"sv, ImageFormat::vmdk},
    KnownDisk{0, "COWD"sv, ImageFormat::vmdk},
    KnownDisk{0, "# Disk DescriptorFile"sv, ImageFormat::vmdk},
    KnownDisk{0x40, "\x7f\x10\xda\xbe"sv, ImageFormat::vdi},
    KnownDisk{0, "conectix"sv, ImageFormat::vhd},
};

constexpr std::array disk_trailers{
    Magic{0, "koly"sv, "an Apple disk image", convert},
};

constexpr std::array initrd_starts{"070701"sv,
                                   "070702"sv,
                                   "\x1f\x8b"sv,
                                   "\xfd"
                                   "7zXZ\0"sv,
                                   "\x28\xb5\x2f\xfd"sv,
                                   "BZh"sv,
                                   "\x5d\0\0"sv,
                                   "\x02\x21\x4c\x18"sv,
                                   "\x89LZO\0"sv};

void refuse_any_of(std::string_view bytes, const auto& magics, std::string_view advice) {
    for (const Magic& magic : magics) {
        if (matches(bytes, magic)) {
            throw Error(ErrorCode::invalid,
                        fmt::format("the file is {}, not a disk that capsul takes", magic.format),
                        fmt::format("{}: {}", advice, magic.tool));
        }
    }
}

} // namespace

const char* qemu_driver(ImageFormat format) {
    switch (format) {
    case ImageFormat::qcow2:
        return "qcow2";
    case ImageFormat::vmdk:
        return "vmdk";
    case ImageFormat::vdi:
        return "vdi";
    case ImageFormat::vhd:
        return "vpc";
    case ImageFormat::raw:
        break;
    }
    return "raw";
}

std::optional<Package> recognise_package(std::string_view start) {
    if (matches(start, tar)) {
        return Package::tar;
    }
    const bool is_compressed =
        std::ranges::any_of(compressed, [&](const Magic& magic) { return matches(start, magic); });
    return is_compressed ? std::optional(Package::compressed) : std::nullopt;
}

ImageFormat recognise_image(std::string_view start, std::string_view end) {
    refuse_any_of(start, other_disks, "convert it first");
    refuse_any_of(start, compressed, "unpack it first and import the disk that is in it");
    refuse_any_of(start, other_archives, "unpack it first and import the disk that is in it");
    for (const KnownDisk& known : known_disks) {
        if (start.size() >= known.offset && start.substr(known.offset).starts_with(known.bytes)) {
            return known.format;
        }
    }
    if (end.starts_with("conectix"sv)) {
        return ImageFormat::vhd; // of fixed size
    }
    refuse_any_of(end, disk_trailers, "convert it first");
    return ImageFormat::raw;
}

void check_kernel(std::string_view start) {
    constexpr std::size_t setup_magic = 0x202; // the Linux/x86 boot protocol
    const bool linux_image = start.size() > setup_magic + 4 && start.substr(setup_magic, 4) == "HdrS"sv;
    if (!linux_image && !start.starts_with("\x7f"
                                           "ELF"sv)) {
        throw Error(ErrorCode::invalid, "the kernel is neither a Linux bzImage nor an ELF file",
                    "give the file that the distribution installs as /boot/vmlinuz-VERSION");
    }
}

void check_initrd(std::string_view start) {
    if (std::ranges::none_of(initrd_starts,
                             [&](std::string_view magic) { return start.starts_with(magic); })) {
        throw Error(ErrorCode::invalid, "the initrd is not a cpio archive, plain or compressed",
                    "give the file that the distribution makes as /boot/initrd.img-VERSION");
    }
}

void check_kernel_cmdline(std::string_view cmdline) {
    const bool printable = std::ranges::all_of(cmdline, [](char c) { return c >= ' ' && c <= '~'; });
    if (!printable || !fits_readconfig(cmdline)) {
        throw Error(ErrorCode::invalid, "the kernel command line cannot be given to QEMU",
                    fmt::format("it may have up to {} characters of ASCII, and no quotes or line ends",
                                longest_config_value));
    }
}

} // namespace capsul
