// Text of systemd units: quoting, and the checksum line that tells a whole, unedited file. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// One word of an Exec line (systemd.service(5), "Command lines"): exactly these bytes reach the program.
/// Throws Error (invalid) on NUL and on text that is not UTF-8.
[[nodiscard]] std::string quote_exec_word(std::string_view word);

/// An Exec line of several words.
[[nodiscard]] std::string quote_exec_line(const std::vector<std::string>& argv);

/// A path as it may stand in BindPaths= and the like. capsul's own folders are of plain characters or it
/// refuses to work with them: throws Error (not_capable).
[[nodiscard]] std::string unit_path(const std::filesystem::path& path);

/// A path of a user's as a word of BindReadOnlyPaths= and the like, whatever it is called; none is there,
/// none is bound. Throws Error (invalid) for one that is not absolute, not UTF-8 or has a control character.
[[nodiscard]] std::string optional_bind_word(const std::filesystem::path& path);

/// Adds the last line, "# capsul sha256=HEX", over all that stands before it.
[[nodiscard]] std::string seal(std::string text);

enum class SealState {
    whole,  ///< as capsul wrote it
    edited, ///< somebody changed it by hand: capsul leaves it alone
    torn,   ///< the line is missing: the file is cut short or foreign
};
[[nodiscard]] SealState check_seal(std::string_view text);

} // namespace capsul
