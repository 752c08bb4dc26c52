// What a terminal is told, and what is kept from it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace capsul::cli {

enum class Color { automatic, always, never };

/// Whether to colour what goes to `fd`: --color first, then NO_COLOR, CLICOLOR_FORCE, TERM=dumb, then whether
/// it is a terminal.
[[nodiscard]] bool use_color(Color wanted, int fd);

[[nodiscard]] bool is_terminal(int fd);

/// Whether somebody is at a terminal who can be asked.
[[nodiscard]] bool can_ask();

/// Whether a line on it can be redrawn.
[[nodiscard]] bool is_smart_terminal(int fd);

/// Columns of the terminal at `fd`; nothing when it is none.
[[nodiscard]] std::optional<unsigned> terminal_width(int fd);

/// Text from outside made harmless: control characters, bytes that are not UTF-8, and characters that reorder
/// a line are shown as \x1b or \u202e. With `keep_lines`, newlines and tabs stay.
[[nodiscard]] std::string printable(std::string_view text, bool keep_lines = false);

/// Ends every colour and other rendition.
inline constexpr std::string_view plain_rendition = "\x1b[0m";

/// The same for a log that comes in pieces, with colours (SGR sequences) let through: boot messages use them.
/// A colour ends with its line, and what is returned leaves none on: whatever ends the program, the shell's
/// prompt is seen.
class LogFilter {
  public:
    [[nodiscard]] std::string filter(std::string_view piece);
    /// What is still held back.
    [[nodiscard]] std::string finish();

  private:
    void take(char byte, std::string& out);
    void release(std::string& out);
    void take_rendition(std::string& out);

    std::string pending_;   ///< the beginning of a sequence or of a character
    std::string rendition_; ///< the sequences that are in force
};

} // namespace capsul::cli
