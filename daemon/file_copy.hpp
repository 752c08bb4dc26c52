// Large files: copied, and read piece by piece. Knows no capsul noun.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

namespace capsul {

/// Told how many bytes more have been copied; what it throws ends the copying.
using OnCopied = std::function<void(std::uint64_t)>;

/// The bytes that a file takes on its disk, holes not counted; nothing when there is none.
[[nodiscard]] std::optional<std::uint64_t> allocated_bytes(const std::filesystem::path& file);

/// Makes `to`, which must not be there, a copy of the regular file `from`: sharing its blocks where the file
/// system can, else without what is a hole there. Durable. Throws Error: in_use when somebody writes `from`
/// meanwhile, no_space before the reserve of the file system is touched, and such; what is written by then
/// stays.
void copy_file_sparsely(const std::filesystem::path& from, const std::filesystem::path& to,
                        const OnCopied& on_copied);

/// Reads a file from its beginning to its end. What `take` throws ends it.
void for_each_piece(const std::filesystem::path& file, const std::function<void(std::string_view)>& take);

} // namespace capsul
