// The serial log of a VM: what its guest wrote, so of any size and any bytes. Knows no capsul noun.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace capsul {

/// The last `lines` lines, with control characters replaced; empty when there is no such file.
[[nodiscard]] std::string serial_tail(const std::filesystem::path& file, std::size_t lines);

/// Cuts a file longer than `limit` to its last half-limit. Its writer appends (O_APPEND), so it may write
/// meanwhile: what it writes in that instant may be lost.
void trim_file(const std::filesystem::path& file, std::uint64_t limit);

} // namespace capsul
