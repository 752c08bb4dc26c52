// capsul-unpack, run on a file from outside.
#pragma once

#include "daemon/operation_service.hpp"
#include "daemon/sandboxed_tool.hpp"
#include "lib/size.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace capsul {

struct UnpackRun {
    std::string work;               ///< "unpacking the disk"
    std::vector<std::string> words; ///< what capsul-unpack is told
    fs::path file;                  ///< that it reads
    std::vector<fs::path> targets;  ///< that it writes; new, and in one folder
    Bytes largest;                  ///< the most that it may write to one of them
    std::string hint;               ///< where it does not know one itself
};

/// Throws Error: invalid, too_large, verification, no_space, and what SandboxedTool::run throws. What the
/// program says is not to be trusted: the file may have taken it over.
void run_unpack(const SandboxedTool& tool, const UnpackRun& run, Progress& progress);

} // namespace capsul
