// From an image's disk to a file for elsewhere.
#pragma once

#include "daemon/download_file.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/sandboxed_tool.hpp"
#include "lib/image.hpp"

namespace capsul {

/// Refuses (invalid) to compress what cannot be.
void check_export(const ImageExport& call);

/// Writes `file`, whose source is the image's disk. Throws Error: no_space, and what QemuImg throws.
void write_export(const SandboxedTool& tool, const ImageExport& call, const ImageRecord& image,
                  const OutgoingFile& file, Progress& progress);

} // namespace capsul
