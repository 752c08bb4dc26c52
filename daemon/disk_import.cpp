#include "daemon/disk_import.hpp"

#include "daemon/file_copy.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace capsul {
namespace {

/// What is made of `file` stands beside it; a name with this ending is never taken for an upload.
TemporaryFile beside(const TemporaryFile& file, const char* what) {
    return TemporaryFile(fmt::format("{}.{}.claimed", file.path().string(), what));
}

/// What capsul-unpack says, who may have been taken over: an Error of one of the kinds that it has.
[[noreturn]] void throw_refusal(const ProcessResult& result) {
    std::array<std::string, 3> lines;
    std::string_view rest = result.err;
    for (std::string& line : lines) {
        line = first_line(rest);
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        rest.remove_prefix(std::min(rest.size(), end + 1));
    }
    constexpr std::array known{ErrorCode::invalid, ErrorCode::too_large, ErrorCode::verification,
                               ErrorCode::no_space};
    const ErrorCode code = error_code_from(lines[0]);
    if (std::ranges::find(known, code) == known.end()) {
        throw Error(ErrorCode::verification,
                    fmt::format("the file cannot be unpacked: capsul-unpack ended with status {} {}",
                                result.status, lines[1]),
                    "unpack it first and import the disk that is in it");
    }
    throw Error(code, lines[1], lines[2]);
}

/// How well something can be compressed is not known: the time is that of a large disk.
ToolLimits unpacking_limits(std::uint64_t size, Bytes max_size) {
    constexpr std::chrono::hours least{1};
    const auto time = std::chrono::seconds(least) + std::chrono::seconds(size >> 22U); // 4 MiB a second
    return {.time = time,
            .memory_bytes = std::uint64_t{1} << 30U,
            .cpu_seconds = static_cast<std::uint64_t>(time.count()),
            .file_bytes = max_size.count()};
}

TemporaryFile unpack_disk(const SandboxedTool& tool, Package package, TemporaryFile file, Bytes max_size,
                          Progress& progress) {
    progress.message("unpacking the disk");
    TemporaryFile unpacked = beside(file, "unpacked");
    const ToolRun run{{(tool.programs() / "capsul-unpack").string(),
                       package == Package::tar ? "ova" : "compressed", file.path().string(),
                       unpacked.path().string(), std::to_string(max_size.count())},
                      file.path(),
                      unpacked.path(),
                      unpacking_limits(fs::file_size(file.path()), max_size)};
    const auto tell = [&](std::string_view piece) {
        if (const auto percent = last_percent(piece)) {
            progress.percent(*percent);
        }
    };
    const ProcessResult result = tool.run(run, tell, [&progress] { return progress.cancelled(); });
    if (result.status != 0) {
        refuse_full_disk("unpacking the disk", result, unpacked.path().parent_path());
        throw_refusal(result);
    }
    return unpacked;
}

} // namespace

ImportedDisk import_disk(const SandboxedTool& tool, TemporaryFile file, Bytes max_size, Progress& progress) {
    const QemuImg qemu_img(tool, [&progress] { return progress.cancelled(); });
    if (const auto package = package_of(file.path())) {
        file = unpack_disk(tool, *package, std::move(file), max_size, progress);
    }
    progress.message("checking the disk");
    const CheckedDisk checked = check_disk_file(qemu_img, file.path(), max_size);
    if (checked.format == ImageFormat::qcow2) {
        return {std::move(file), checked.size};
    }
    progress.message("converting the disk to qcow2");
    TemporaryFile converted = beside(file, "qcow2");
    check_free_space(converted.path().parent_path(), allocated_bytes(file.path()).value_or(0), "converting the disk");
    qemu_img.convert({checked.format, file.path()}, "qcow2", {}, converted.path(), checked.size.count(),
                     [&](int percent) { progress.percent(percent); });
    check_converted_disk(converted.path(), checked.size);
    return {std::move(converted), checked.size};
}

} // namespace capsul
