#include "daemon/disk_export.hpp"

#include "daemon/ova_file.hpp"
#include "daemon/qemu_img.hpp"
#include "daemon/upload_file.hpp"
#include "lib/error.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

/// What qemu-img convert is told beside the format.
std::vector<std::string> options_of(const ImageExport& call) {
    const bool is_vmdk = call.format == ExportFormat::vmdk || call.format == ExportFormat::ova;
    const bool is_small = call.compress || call.format == ExportFormat::ova;
    if (is_vmdk) {
        return {"-o", fmt::format("subformat={}", is_small ? "streamOptimized" : "monolithicSparse")};
    }
    return is_small ? std::vector<std::string>{"-c"} : std::vector<std::string>{};
}

const char* converted_format(ExportFormat format) {
    switch (format) {
    case ExportFormat::qcow2:
        return "qcow2";
    case ExportFormat::raw:
        return "raw";
    case ExportFormat::vmdk:
    case ExportFormat::ova:
        break;
    }
    return "vmdk";
}

} // namespace

void check_export(const ImageExport& call) {
    if (call.compress && call.format == ExportFormat::raw) {
        throw Error(ErrorCode::invalid, "compress: a raw disk cannot be compressed",
                    "compress it on its way: `capsulctl image export NAME - --format raw | zstd > FILE`");
    }
}

void write_export(const SandboxedTool& tool, const ImageExport& call, const ImageRecord& image,
                  const OutgoingFile& file, Progress& progress) {
    if (call.format == ExportFormat::qcow2 && !call.compress) {
        fs::rename(file.source(), file.path()); // the very file, which nobody changes
        return;
    }
    progress.message(fmt::format("converting the disk to {}", to_string(call.format)));
    check_free_space(file.path().parent_path(), 0, "exporting the disk");
    const QemuImg qemu_img(tool, [&progress] { return progress.cancelled(); });
    const auto convert_to = [&](const fs::path& target) {
        qemu_img.convert({ImageFormat::qcow2, file.source()}, converted_format(call.format), options_of(call),
                         target, image.size.count(), [&](int percent) { progress.percent(percent); });
    };
    if (call.format != ExportFormat::ova) {
        convert_to(file.path());
        return;
    }
    const TemporaryFile vmdk(file.path().string() + ".vmdk");
    convert_to(vmdk.path());
    progress.message("writing the OVA");
    write_ova(file.path(), image.name, vmdk.path(), image.size);
}

} // namespace capsul
