// What the shell offers after TAB. The three scripts in completions/ ask `capsulctl __complete -- WORDS…`,
// the last word being the one that is completed.
#pragma once

#include "cli/command.hpp"

#include <string>
#include <vector>

namespace capsul::cli {

struct Candidate {
    std::string word;
    std::string description;
};

/// Stands for "file names go here", which the shell knows better.
inline constexpr const char* files_marker = ":files";

/// Gives the names of a kind of object: "VM", "IMAGE" (aliases too), "ALIAS", "NETWORK"; or of what belongs
/// to the object `owner`: "NODE", those of a VPN, "DISK" and "SNAPSHOT", those of a VM.
using NamesOf = std::function<std::vector<std::string>(const std::string& kind, const std::string& owner)>;

[[nodiscard]] std::vector<Candidate> candidates(const CLI::App& program, std::vector<std::string> words,
                                                const NamesOf& names_of);

/// Prints them as lines of "WORD\tDESCRIPTION". Never fails, never takes longer than a tenth of a second.
int complete(const CLI::App& program, Session& session, const std::vector<std::string>& words);

} // namespace capsul::cli
