#include "daemon/image_check.hpp"

#include "daemon/qcow2_header.hpp"
#include "daemon/vmdk_header.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t sector = 512;
constexpr std::uint64_t largest_kernel = std::uint64_t{256} << 20U;
constexpr std::uint64_t largest_initrd = std::uint64_t{1} << 30U;

/// The parts of a file by which it is known.
struct Excerpt {
    std::uint64_t size = 0;
    std::string start;
    std::string end;
};

std::string read_at(int fd, std::uint64_t offset, std::size_t length, const fs::path& file) {
    std::string bytes(length, '\0');
    std::size_t have = 0;
    while (have < length) {
        const ssize_t got =
            ::pread(fd, bytes.data() + have, length - have, static_cast<off_t>(offset + have));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw_errno(errno, file.string());
        }
        if (got == 0) {
            break;
        }
        have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
}

Excerpt read_excerpt(const fs::path& file) {
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        throw_errno(errno, file.string());
    }
    if (!S_ISREG(status.st_mode)) {
        throw Error(ErrorCode::invalid, file.string() + ": is not a regular file");
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    const auto end_length = std::min<std::uint64_t>(size, format_end_bytes);
    return {.size = size,
            .start = read_at(fd.get(), 0, std::min<std::uint64_t>(size, format_start_bytes), file),
            .end = read_at(fd.get(), size - end_length, end_length, file)};
}

[[noreturn]] void refuse_damaged(const std::string& why) {
    throw Error(ErrorCode::verification, "the qcow2 file is damaged: " + why,
                "fetch it again, and give its checksum with --sha256 or --sha512");
}

constexpr const char* program = "qemu-img";

/// A second opinion, from the program that will use the file, on what the header says.
void cross_check(const QemuImg& qemu_img, const fs::path& file, const Qcow2Header& header) {
    const ProcessResult result = qemu_img.info({ImageFormat::qcow2, file});
    if (result.status != 0) {
        refuse_damaged(complaint(program, result));
    }
    const Json info = parse_json(result.out);
    const Json details = info.value("/format-specific/data"_json_pointer, Json::object());
    const bool alone = info.value("format", "") == "qcow2" && !info.contains("backing-filename") &&
                       !info.value("encrypted", false) && !details.contains("data-file") &&
                       !details.value("corrupt", false) && !info.value("dirty-flag", false);
    if (!alone || info.value("virtual-size", std::uint64_t{0}) != header.virtual_size) {
        throw Error(ErrorCode::invalid, "the qcow2 file is not what its header says",
                    "make a clean one with: qemu-img convert -O qcow2 FILE clean.qcow2");
    }
}

/// Whether every cluster that the file refers to lies in it, and its reference counts are right.
void check_clusters(const QemuImg& qemu_img, const fs::path& file, std::uint64_t file_size) {
    constexpr int clean = 0;
    constexpr int leaks_only = 3; // clusters that are counted but not used: harmless in a whole file
    const ProcessResult result = qemu_img.check({ImageFormat::qcow2, file});
    if (result.status != clean && result.status != leaks_only) {
        refuse_damaged(complaint(program, result));
    }
    const Json report = parse_json(result.out);
    if (report.value("corruptions", 0) != 0 || report.value("check-errors", 0) != 0) {
        refuse_damaged(complaint(program, result));
    }
    if (result.status == leaks_only && file_size < report.value("image-end-offset", std::uint64_t{0})) {
        refuse_damaged("its end is missing");
    }
}

CheckedDisk check_qcow2(const QemuImg& qemu_img, const fs::path& file, const Excerpt& excerpt,
                        Bytes max_size) {
    const Qcow2Header header = check_qcow2_header(excerpt.start, excerpt.size, max_size.count());
    cross_check(qemu_img, file, header);
    check_clusters(qemu_img, file, excerpt.size);
    return {ImageFormat::qcow2, Bytes(header.virtual_size)};
}

void refuse_above(std::uint64_t size, Bytes max_size) {
    if (size > max_size.count()) {
        throw Error(ErrorCode::too_large,
                    fmt::format("the disk has {}, more than the {} allowed", human_size(size),
                                human_size(max_size.count())),
                    "max_size under [image] in capsuld.toml is the limit");
    }
}

/// One that is made on top of another has its type, 4, in its footer (Microsoft's "Virtual Hard Disk Image
/// Format Specification"), of which a growing disk has a copy at its start.
void refuse_differencing_vhd(const Excerpt& excerpt) {
    constexpr std::size_t type_offset = 63; // the last byte of four
    const std::string& footer = excerpt.start.starts_with("conectix") ? excerpt.start : excerpt.end;
    if (footer.size() > type_offset && footer[type_offset] == 4) {
        throw Error(ErrorCode::invalid, "the VHD disk has only what differs from another disk",
                    "make it whole where the other one is");
    }
}

[[noreturn]] void refuse_damaged_foreign(ImageFormat format, const std::string& why) {
    throw Error(
        ErrorCode::verification,
        fmt::format("the {} file is damaged, or of a kind that qemu-img does not know: {}",
                    qemu_driver(format), why),
        "fetch it again, or convert it where it was made: qemu-img convert -O qcow2 FILE image.qcow2");
}

/// Where the end of a VDI is missing, qemu-img would read zeros. Its header has, in little-endian, where the
/// data begins, and the size and number of its blocks (VirtualBox's VDICore.h).
void refuse_cut_vdi(const Excerpt& excerpt) {
    constexpr std::size_t header_end = 0x188;
    const auto number_at = [&](std::size_t offset) {
        std::uint64_t number = 0;
        for (std::size_t i = 4; i > 0; --i) {
            number = number << 8U | static_cast<unsigned char>(excerpt.start[offset + i - 1]);
        }
        return number;
    };
    if (excerpt.start.size() < header_end ||
        number_at(0x158) + number_at(0x178) * number_at(0x184) > excerpt.size) {
        refuse_damaged_foreign(ImageFormat::vdi, "its end is missing");
    }
}

/// What qemu-img can say of the format: not of every one does it know how.
void check_foreign_clusters(const QemuImg& qemu_img, const DiskFile& disk) {
    constexpr int leaks_only = 3;
    constexpr int not_known = 63;
    const ProcessResult result = qemu_img.check(disk);
    if (result.status != 0 && result.status != leaks_only && result.status != not_known) {
        refuse_damaged_foreign(disk.format, complaint(program, result));
    }
}

/// One of a format that is converted. qemu-img sees no other file, whatever this one says.
CheckedDisk check_foreign(const QemuImg& qemu_img, ImageFormat format, const fs::path& file,
                          const Excerpt& excerpt, Bytes max_size) {
    if (format == ImageFormat::vmdk) {
        check_vmdk_header(excerpt.start, max_size.count());
    } else if (format == ImageFormat::vhd) {
        refuse_differencing_vhd(excerpt);
    } else if (format == ImageFormat::vdi) {
        refuse_cut_vdi(excerpt);
    }
    const ProcessResult result = qemu_img.info({format, file});
    if (result.status != 0) {
        refuse_damaged_foreign(format, complaint(program, result));
    }
    const Json info = parse_json(result.out);
    if (info.value("encrypted", false)) {
        throw Error(ErrorCode::invalid, fmt::format("the {} file is encrypted", qemu_driver(format)));
    }
    const auto size = info.value("virtual-size", std::uint64_t{0});
    refuse_above(size, max_size);
    check_foreign_clusters(qemu_img, {format, file});
    return {format, Bytes(size)};
}

CheckedDisk check_raw(const Excerpt& excerpt, Bytes max_size) {
    if (excerpt.size < sector) {
        throw Error(ErrorCode::invalid, fmt::format("a file of {} bytes is no disk", excerpt.size),
                    "give a qcow2 or raw disk image");
    }
    const std::uint64_t size = (excerpt.size + sector - 1) / sector * sector;
    refuse_above(size, max_size);
    return {ImageFormat::raw, Bytes(size)};
}

Excerpt read_boot_file(const fs::path& file, const char* what, std::uint64_t largest) {
    Excerpt excerpt = read_excerpt(file);
    if (excerpt.size > largest) {
        throw Error(ErrorCode::too_large, fmt::format("the {} has {}, more than {}", what,
                                                      human_size(excerpt.size), human_size(largest)));
    }
    return excerpt;
}

} // namespace

std::optional<Package> package_of(const fs::path& file) {
    const Excerpt excerpt = read_excerpt(file);
    if (excerpt.size == 0) {
        throw Error(ErrorCode::invalid, "the disk file is empty", "give a disk image");
    }
    return recognise_package(excerpt.start);
}

CheckedDisk check_disk_file(const QemuImg& qemu_img, const fs::path& file, Bytes max_size) {
    const Excerpt excerpt = read_excerpt(file);
    if (excerpt.size == 0) {
        throw Error(ErrorCode::invalid, "the disk file is empty", "give a disk image");
    }
    const ImageFormat format = recognise_image(excerpt.start, excerpt.end);
    switch (format) {
    case ImageFormat::qcow2:
        return check_qcow2(qemu_img, file, excerpt, max_size);
    case ImageFormat::raw:
        return check_raw(excerpt, max_size);
    default:
        return check_foreign(qemu_img, format, file, excerpt, max_size);
    }
}

void check_converted_disk(const fs::path& file, Bytes size) {
    const Excerpt excerpt = read_excerpt(file);
    const Qcow2Header header = check_qcow2_header(excerpt.start, excerpt.size, size.count());
    if (header.virtual_size != size.count()) {
        throw Error(ErrorCode::verification, fmt::format("the disk has {} after it was converted, and not {}",
                                                         human_size(header.virtual_size), size.to_string()));
    }
}

void check_kernel_file(const fs::path& file) {
    check_kernel(read_boot_file(file, "kernel", largest_kernel).start);
}

void check_initrd_file(const fs::path& file) {
    check_initrd(read_boot_file(file, "initrd", largest_initrd).start);
}

} // namespace capsul
