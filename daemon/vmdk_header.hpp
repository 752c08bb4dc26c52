// The header and the descriptor of a VMDK file from a stranger (VMware's "Virtual Disk Format 5.0"). Pure.
#pragma once

#include <cstdint>
#include <string_view>

namespace capsul {

/// Judges: what passes is one sparse disk whole in itself, monolithicSparse or streamOptimized. `start`: the
/// first bytes of the file (format_start_bytes of them, or all). Throws Error: invalid for what has its data
/// in other files, verification for a damaged one, too_large above `max_size`.
void check_vmdk_header(std::string_view start, std::uint64_t max_size);

} // namespace capsul
