// What kind of file an image, a kernel or an initrd is, told by its bytes and never by its name. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace capsul {

enum class ImageFormat { qcow2, raw, vmdk, vdi, vhd };

/// As QEMU calls it.
[[nodiscard]] const char* qemu_driver(ImageFormat format);

/// What a disk may come in.
enum class Package {
    compressed, ///< by gzip, bzip2, xz or zstd
    tar,        ///< which may be an OVA
};

/// How many bytes of a file's start and end the functions below want (fewer when the file is shorter).
constexpr std::size_t format_start_bytes = std::size_t{64} * 1024;
constexpr std::size_t format_end_bytes = 512;

/// Nothing when it is none of those.
[[nodiscard]] std::optional<Package> recognise_package(std::string_view start);

/// By its magic; raw when it is nothing known. Throws Error (invalid) for a disk format that capsul does not
/// take, for a compressed file and for an archive, with a hint how to make a usable image of it.
[[nodiscard]] ImageFormat recognise_image(std::string_view start, std::string_view end);

/// Throws Error (invalid) unless it looks like a Linux bzImage or an ELF kernel.
void check_kernel(std::string_view start);

/// Throws Error (invalid) unless it looks like a cpio archive, plain or compressed as Linux takes it.
void check_initrd(std::string_view start);

/// Throws Error (invalid) unless printable ASCII that a VM's qemu.conf can hold.
void check_kernel_cmdline(std::string_view cmdline);

} // namespace capsul
