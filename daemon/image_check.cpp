#include "daemon/image_check.hpp"

#include "daemon/process.hpp"
#include "daemon/qcow2_header.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <charconv>
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

/// What qemu-img may use on a file of `size` bytes: enough for an honest one.
ProcessLimits limits_for(std::uint64_t size, std::uint64_t output) {
    return {.memory_bytes = std::uint64_t{1} << 30U,
            .cpu_seconds = 60 + size / (64U << 20U),
            .file_bytes = output};
}

std::chrono::seconds time_for(std::uint64_t size) {
    return std::chrono::seconds(120 + size / (16U << 20U)); // a slow disk reads 16 MiB a second
}

/// The first line that a program complained with, fit for a message: it may quote the hostile file.
std::string complaint(const ProcessResult& result) {
    std::string line = result.err.substr(0, std::min(result.err.find('\n'), std::size_t{300}));
    std::ranges::replace_if(
        line, [](char c) { return c < ' ' || c > '~'; }, '?');
    return line.empty() ? fmt::format("qemu-img ended with status {}", result.status) : line;
}

[[noreturn]] void refuse_damaged(const std::string& why) {
    throw Error(ErrorCode::verification, "the qcow2 file is damaged: " + why,
                "fetch it again, and give its checksum with --sha256 or --sha512");
}

/// A second opinion, from the program that will use the file, on what the header says.
void cross_check(const fs::path& file, std::uint64_t file_size, const Qcow2Header& header) {
    const ProcessResult result =
        run_process({"qemu-img", "info", "-f", "qcow2", "--output=json", file.string()}, time_for(0),
                    limits_for(file_size, 0));
    if (result.status != 0) {
        refuse_damaged(complaint(result));
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
void check_clusters(const fs::path& file, std::uint64_t file_size) {
    constexpr int clean = 0;
    constexpr int leaks_only = 3; // clusters that are counted but not used: harmless in a whole file
    const ProcessResult result =
        run_process({"qemu-img", "check", "-f", "qcow2", "--output=json", file.string()}, time_for(file_size),
                    limits_for(file_size, 0));
    if (result.status != clean && result.status != leaks_only) {
        refuse_damaged(complaint(result));
    }
    const Json report = parse_json(result.out);
    if (report.value("corruptions", 0) != 0 || report.value("check-errors", 0) != 0) {
        refuse_damaged(complaint(result));
    }
    if (result.status == leaks_only && file_size < report.value("image-end-offset", std::uint64_t{0})) {
        refuse_damaged("its end is missing");
    }
}

CheckedDisk check_qcow2(const fs::path& file, const Excerpt& excerpt, Bytes max_size) {
    const Qcow2Header header = check_qcow2_header(excerpt.start, excerpt.size, max_size.count());
    cross_check(file, excerpt.size, header);
    check_clusters(file, excerpt.size);
    return {ImageFormat::qcow2, Bytes(header.virtual_size)};
}

CheckedDisk check_raw(const Excerpt& excerpt, Bytes max_size) {
    if (excerpt.size < sector) {
        throw Error(ErrorCode::invalid, fmt::format("a file of {} bytes is no disk", excerpt.size),
                    "give a qcow2 or raw disk image");
    }
    const std::uint64_t size = (excerpt.size + sector - 1) / sector * sector;
    if (size > max_size.count()) {
        throw Error(ErrorCode::too_large,
                    fmt::format("the disk has {}, more than the {} allowed", human_size(size),
                                human_size(max_size.count())),
                    "max_size under [image] in capsuld.toml is the limit");
    }
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

/// qemu-img -p writes "    (12.50/100%)" over and over.
std::optional<int> last_percent(std::string_view text) {
    const auto begin = text.rfind('(');
    int percent = 0;
    if (begin == std::string_view::npos ||
        std::from_chars(text.data() + begin + 1, text.data() + text.size(), percent).ec != std::errc{}) {
        return std::nullopt;
    }
    return percent;
}

} // namespace

CheckedDisk check_disk_file(const fs::path& file, Bytes max_size) {
    const Excerpt excerpt = read_excerpt(file);
    if (excerpt.size == 0) {
        throw Error(ErrorCode::invalid, "the disk file is empty", "give a qcow2 or raw disk image");
    }
    const ImageFormat format = recognise_image(excerpt.start, excerpt.end);
    return format == ImageFormat::qcow2 ? check_qcow2(file, excerpt, max_size) : check_raw(excerpt, max_size);
}

void check_kernel_file(const fs::path& file) {
    check_kernel(read_boot_file(file, "kernel", largest_kernel).start);
}

void check_initrd_file(const fs::path& file) {
    check_initrd(read_boot_file(file, "initrd", largest_initrd).start);
}

void convert_raw_disk(const fs::path& source, const fs::path& target,
                      const std::function<void(int)>& on_percent) {
    const std::uint64_t size = read_excerpt(source).size;
    const std::uint64_t most = size + size / 64 + (std::uint64_t{16} << 20U); // with qcow2's own tables
    const ProcessResult result = run_process(
        {"qemu-img", "convert", "-p", "-f", "raw", "-O", "qcow2", source.string(), target.string()},
        time_for(size), limits_for(size, most), [&](std::string_view piece) {
            if (const auto percent = last_percent(piece)) {
                on_percent(*percent);
            }
        });
    if (result.status == 0) {
        return;
    }
    if (result.err.find("No space left on device") != std::string::npos) {
        throw Error(ErrorCode::no_space,
                    "converting to qcow2: no space left on the disk of " + target.string(),
                    "free some space there, or remove images that are not needed");
    }
    throw Error(ErrorCode::internal, "converting to qcow2: " + complaint(result));
}

} // namespace capsul
