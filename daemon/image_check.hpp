// Judges the files of an image before anybody uses them. Runs qemu-img, bounded, since the bytes are a
// stranger's.
#pragma once

#include "daemon/image_format.hpp"
#include "lib/size.hpp"

#include <filesystem>
#include <functional>

namespace capsul {

struct CheckedDisk {
    ImageFormat format;
    Bytes size; ///< as the guest sees it
};

/// Throws Error: invalid for a format or feature that capsul does not take, verification for a damaged file,
/// too_large above `max_size`, not_capable without qemu-img. What passes refers to no other file.
[[nodiscard]] CheckedDisk check_disk_file(const std::filesystem::path& file, Bytes max_size);

void check_kernel_file(const std::filesystem::path& file);
void check_initrd_file(const std::filesystem::path& file);

/// Makes a sparse qcow2 `target` of a raw `source`, telling how far it is; `target` may be left half-made
/// when it throws (no_space, internal).
void convert_raw_disk(const std::filesystem::path& source, const std::filesystem::path& target,
                      const std::function<void(int)>& on_percent);

} // namespace capsul
