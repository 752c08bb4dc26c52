// The systemd unit in which a program reads files that nobody vouches for. Pure.
#pragma once

#include "lib/mac.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace capsul {

/// What such a program may use: enough for an honest file.
struct ToolLimits {
    std::chrono::seconds time{0};
    std::uint64_t memory_bytes = 0; ///< of address space
    std::uint64_t cpu_seconds = 0;
    std::uint64_t file_bytes = 0; ///< of any file that it writes
};

struct ToolRun {
    std::vector<std::string> argv;               ///< the first is the program's absolute path
    std::vector<std::filesystem::path> readable; ///< the only files that it sees, beside the system's
    std::vector<std::filesystem::path> writable; ///< new ones; and of the readable ones those that it changes
    ToolLimits limits{};
    std::vector<std::string> environment{}; ///< NAME=VALUE, all that it has
    /// It runs other programs, which may be QEMU, speaks to them by sockets, and has a private /tmp and
    /// /var/tmp.
    bool children = false;
};

/// Where a run's units and pipes are.
struct ToolPlaces {
    std::filesystem::path programs; ///< the folder of capsul's own programs
    std::filesystem::path data;     ///< capsul's, of which nothing is seen
    std::filesystem::path out;      ///< what the program's standard output is
    std::filesystem::path err;
};

/// "capsul-tool-ID.service".
[[nodiscard]] std::string tool_unit_name(const Uuid& id);
/// Whether `unit` is the name of one of them.
[[nodiscard]] bool is_tool_unit(const std::string& unit);

/// Its sealed text: a start lasts until the program has ended.
[[nodiscard]] std::string tool_unit(const ToolRun& run, const ToolPlaces& places);

} // namespace capsul
