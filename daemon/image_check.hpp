// Judges the files of an image before anybody uses them: by their bytes, and by what qemu-img says of them.
#pragma once

#include "daemon/image_format.hpp"
#include "daemon/qemu_img.hpp"
#include "lib/size.hpp"

#include <filesystem>

namespace capsul {

struct CheckedDisk {
    ImageFormat format;
    Bytes size; ///< as the guest sees it
};

/// What a disk may come in, if it does. Throws Error (invalid) when it is no regular file, or empty.
[[nodiscard]] std::optional<Package> package_of(const std::filesystem::path& file);

/// Throws Error: invalid for a format or feature that capsul does not take, verification for a damaged file,
/// too_large above `max_size`, and what QemuImg throws. What passes refers to no other file.
[[nodiscard]] CheckedDisk check_disk_file(const QemuImg& qemu_img, const std::filesystem::path& file,
                                          Bytes max_size);

/// A qcow2 that qemu-img has written while it read what may have taken it over: throws Error (verification)
/// unless it has `size` and refers to no other file.
void check_converted_disk(const std::filesystem::path& file, Bytes size);

void check_kernel_file(const std::filesystem::path& file);
void check_initrd_file(const std::filesystem::path& file);

} // namespace capsul
