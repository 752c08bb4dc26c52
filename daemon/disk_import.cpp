#include "daemon/disk_import.hpp"

#include "daemon/file_copy.hpp"
#include "daemon/unpack_tool.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

/// What is made of `file` stands beside it; a name with this ending is never taken for an upload.
TemporaryFile beside(const TemporaryFile& file, const char* what) {
    return TemporaryFile(fmt::format("{}.{}.claimed", file.path().string(), what));
}

TemporaryFile unpack_disk(const SandboxedTool& tool, Package package, TemporaryFile file, Bytes max_size,
                          Progress& progress) {
    progress.message("unpacking the disk");
    TemporaryFile unpacked = beside(file, "unpacked");
    run_unpack(tool,
               {.work = "unpacking the disk",
                .words = {package == Package::tar ? "ova" : "compressed", file.path().string(),
                          unpacked.path().string(), std::to_string(max_size.count())},
                .file = file.path(),
                .targets = {unpacked.path()},
                .largest = max_size,
                .hint = "unpack it first and import the disk that is in it"},
               progress);
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
    check_free_space(converted.path().parent_path(), allocated_bytes(file.path()).value_or(0),
                     "converting the disk");
    qemu_img.convert({checked.format, file.path()}, "qcow2", {}, converted.path(), checked.size.count(),
                     [&](int percent) { progress.percent(percent); });
    check_converted_disk(converted.path(), checked.size);
    return {std::move(converted), checked.size};
}

} // namespace capsul
