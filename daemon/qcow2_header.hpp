// The header of a qcow2 file from a stranger (QEMU docs/interop/qcow2.txt). Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace capsul {

/// A header that passed: such a file refers to nothing outside itself, and its tables lie within it.
struct Qcow2Header {
    std::uint32_t version = 0; ///< 2 or 3
    std::uint32_t cluster_bits = 0;
    std::uint64_t virtual_size = 0; ///< bytes, as the guest sees it
    std::uint32_t snapshots = 0;    ///< internal ones
};

/// Reads and judges. `start`: the first bytes of the file (format_start_bytes of them, or all). Throws Error:
/// invalid for what capsul does not take, verification for a damaged one, too_large when the virtual size is
/// above `max_size`.
[[nodiscard]] Qcow2Header check_qcow2_header(std::string_view start, std::uint64_t file_size,
                                             std::uint64_t max_size);

/// The header of a VM's own disk, which may lie over a base and be in use. It is a guest's that has broken
/// out of QEMU, at worst: throws Error (verification) unless all data of it is in the file and it is whole.
[[nodiscard]] Qcow2Header read_own_qcow2_header(std::string_view start);

/// What such a disk says that it lies over, unchecked; empty when that is nothing. `start`: its first
/// cluster. Throws as read_own_qcow2_header does.
[[nodiscard]] std::string own_qcow2_base(std::string_view start);

} // namespace capsul
