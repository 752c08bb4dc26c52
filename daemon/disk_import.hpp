// From a file that comes from outside to a disk that VMs can be made from.
#pragma once

#include "daemon/image_check.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/upload_file.hpp"

namespace capsul {

struct ImportedDisk {
    TemporaryFile file; ///< qcow2, which refers to no other file
    Bytes size;         ///< as the guest sees it
};

/// `file` may be compressed or in an OVA, and a disk of any format that capsul takes; a qcow2 stays as it is.
/// What it becomes is beside it. Throws Error: what check_disk_file throws, and no_space.
[[nodiscard]] ImportedDisk import_disk(const SandboxedTool& tool, TemporaryFile file, Bytes max_size,
                                       Progress& progress);

} // namespace capsul
