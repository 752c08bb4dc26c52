// The command line of capsul-fetch.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace capsul::fetch {

struct Options {
    enum class Command { disk, catalogue };
    Command command = Command::disk;
    std::filesystem::path folder;
};

inline constexpr const char* usage = "usage: capsul-fetch disk|catalogue --folder FOLDER\n"
                                     "\n"
                                     "Downloads what FOLDER/request.json asks for, and tells in "
                                     "FOLDER/result.json what came of it.\n";

/// Throws std::invalid_argument.
[[nodiscard]] Options parse_options(const std::vector<std::string>& words);

} // namespace capsul::fetch
