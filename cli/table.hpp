// Rows and columns as text: a table for people (libsmartcols), CSV for programs.
#pragma once

#include <string>
#include <vector>

namespace capsul::cli {

enum class Style { plain, good, changing, bad, faint };

struct Cell {
    std::string text;
    Style style = Style::plain;
};

struct Heading {
    std::string name; ///< in lower case
    bool right = false;
};

struct Grid {
    std::vector<Heading> headings;
    std::vector<std::vector<Cell>> rows; ///< each as long as `headings`
};

struct TableLook {
    bool headings = true;
    bool color = false;
};

/// Aligned columns with headings in capitals. Every cell is made printable.
[[nodiscard]] std::string render_table(const Grid& grid, const TableLook& look);

/// RFC 4180, but with "\n" as line end, as the shell's tools expect it.
[[nodiscard]] std::string render_csv(const Grid& grid, bool headings);

/// `text` in the colour of `style`.
[[nodiscard]] std::string styled(const std::string& text, Style style, bool color);

} // namespace capsul::cli
