// What stands beside the disk in an OVA: DSP0243, "Open Virtualization Format Specification", 1.1. Pure.
#pragma once

#include "lib/name.hpp"
#include "lib/size.hpp"

#include <string>
#include <utility>
#include <vector>

namespace capsul {

/// A machine of one CPU and 1 GiB of memory with one disk, a streamOptimized VMDK of `file_size` bytes.
[[nodiscard]] std::string ovf_descriptor(const Name& machine, const std::string& disk_file,
                                         std::uint64_t file_size, Bytes disk_size);

/// The SHA-256 of each file, by its name.
[[nodiscard]] std::string ovf_manifest(const std::vector<std::pair<std::string, std::string>>& digests);

} // namespace capsul
