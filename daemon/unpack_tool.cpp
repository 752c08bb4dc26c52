#include "daemon/unpack_tool.hpp"

#include "daemon/qemu_img.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace capsul {
namespace {

/// What capsul-unpack says, who may have been taken over: an Error of one of the kinds that it has.
[[noreturn]] void throw_refusal(const ProcessResult& result, const std::string& hint) {
    std::array<std::string, 3> lines;
    std::string_view rest = result.err;
    for (std::string& line : lines) {
        line = first_line(rest);
        const std::size_t end = std::min(rest.find('\n'), rest.size());
        rest.remove_prefix(std::min(rest.size(), end + 1));
    }
    constexpr std::array known{ErrorCode::invalid, ErrorCode::too_large, ErrorCode::verification,
                               ErrorCode::no_space};
    const ErrorCode code = error_code_from(lines[0]);
    if (std::ranges::find(known, code) == known.end()) {
        throw Error(ErrorCode::verification,
                    fmt::format("the file cannot be unpacked: capsul-unpack ended with status {} {}",
                                result.status, lines[1]),
                    hint);
    }
    throw Error(code, lines[1], lines[2]);
}

/// How well something can be compressed is not known: the time is that of a large disk.
ToolLimits limits_of(std::uint64_t size, Bytes largest) {
    constexpr std::chrono::hours least{1};
    const auto time = std::chrono::seconds(least) + std::chrono::seconds(size >> 22U); // 4 MiB a second
    return {.time = time,
            .memory_bytes = std::uint64_t{1} << 30U,
            .cpu_seconds = static_cast<std::uint64_t>(time.count()),
            .file_bytes = largest.count()};
}

} // namespace

void run_unpack(const SandboxedTool& tool, const UnpackRun& run, Progress& progress) {
    ToolRun unpacking{{(tool.programs() / "capsul-unpack").string()},
                      {run.file},
                      run.targets,
                      limits_of(fs::file_size(run.file), run.largest)};
    unpacking.argv.insert(unpacking.argv.end(), run.words.begin(), run.words.end());
    const auto tell = [&](std::string_view piece) {
        if (const auto percent = last_percent(piece)) {
            progress.percent(*percent);
        }
    };
    const ProcessResult result = tool.run(unpacking, tell, [&progress] { return progress.cancelled(); });
    if (result.status != 0) {
        refuse_full_disk(run.work, result, run.targets.front().parent_path());
        throw_refusal(result, run.hint);
    }
}

} // namespace capsul
