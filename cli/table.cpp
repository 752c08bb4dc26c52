#include "cli/table.hpp"

#include "cli/terminal.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <libsmartcols/libsmartcols.h>
#include <memory>
#include <new>

namespace capsul::cli {
namespace {

const char* sequence_of(Style style) {
    switch (style) {
    case Style::good:
        return "\x1b[32m";
    case Style::changing:
        return "\x1b[33m";
    case Style::bad:
        return "\x1b[31m";
    case Style::faint:
        return "\x1b[2m";
    case Style::plain:
        break;
    }
    return nullptr;
}

std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(),
                           [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

struct TableUnref {
    void operator()(libscols_table* table) const noexcept { scols_unref_table(table); }
};
struct Free {
    void operator()(char* text) const noexcept { std::free(text); } // NOLINT: allocated by C
};
using Table = std::unique_ptr<libscols_table, TableUnref>;

/// libsmartcols fails for want of memory only.
void check(bool ok) {
    if (!ok) {
        throw std::bad_alloc();
    }
}

Table make_table(const TableLook& look) {
    Table table(scols_new_table());
    check(table != nullptr);
    scols_table_enable_noencoding(table.get(), 1); // printable() has done it, and better
    scols_table_enable_noheadings(table.get(), look.headings ? 0 : 1);
    scols_table_enable_colors(table.get(), look.color ? 1 : 0);
    scols_table_set_column_separator(table.get(), "  ");
    scols_table_set_termforce(table.get(), SCOLS_TERMFORCE_NEVER); // never cut: a reason cut off is none

    return table;
}

void add_row(libscols_table* table, const std::vector<Cell>& cells) {
    libscols_line* line = scols_table_new_line(table, nullptr);
    check(line != nullptr);
    for (std::size_t i = 0; i < cells.size(); ++i) {
        check(scols_line_set_data(line, i, printable(cells[i].text).c_str()) == 0);
        if (const char* sequence = sequence_of(cells[i].style)) {
            check(scols_cell_set_color(scols_line_get_cell(line, i), sequence) == 0);
        }
    }
}

/// The last column is padded by the library when it is cut or coloured; nobody wants blanks at the end of
/// lines.
std::string without_trailing_blanks(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        line = line.substr(0, line.find_last_not_of(' ') + 1);
        out.append(line).append("\n");
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return out;
}

std::string csv_field(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) {
        return text;
    }
    std::string quoted = "\"";
    for (const char c : text) {
        quoted += c == '"' ? "\"\"" : std::string(1, c);
    }
    return quoted + '"';
}

template <class Items, class Text>
std::string csv_line(const Items& items, const Text& text) {
    std::string line;
    for (const auto& item : items) {
        line += (line.empty() && &item == &items.front() ? "" : ",") + csv_field(text(item));
    }
    return line + '\n';
}

} // namespace

std::string render_table(const Grid& grid, const TableLook& look) {
    if (grid.rows.empty() && !look.headings) {
        return {};
    }
    const Table table = make_table(look);
    for (const Heading& heading : grid.headings) {
        const int flags = heading.right ? SCOLS_FL_RIGHT : 0;

        const std::string title =
            look.headings ? upper(heading.name) : ""; // its width counts even when hidden
        check(scols_table_new_column(table.get(), title.c_str(), 0, flags) != nullptr);
    }
    for (const auto& row : grid.rows) {
        add_row(table.get(), row);
    }
    if (grid.rows.empty()) {
        // The library prints no headings without lines; an empty table still says what it would hold.
        std::string line;
        for (const Heading& heading : grid.headings) {
            line += (line.empty() ? "" : "  ") + upper(heading.name);
        }
        return line + '\n';
    }
    char* text = nullptr;
    check(scols_print_table_to_string(table.get(), &text) == 0);
    const std::unique_ptr<char, Free> owned(text);
    return without_trailing_blanks(text);
}

std::string render_csv(const Grid& grid, bool headings) {
    std::string out;
    if (headings) {
        out += csv_line(grid.headings, [](const Heading& heading) { return heading.name; });
    }
    for (const auto& row : grid.rows) {
        out += csv_line(row, [](const Cell& cell) { return cell.text; });
    }
    return out;
}

std::string styled(const std::string& text, Style style, bool color) {
    const char* sequence = sequence_of(style);
    return color && sequence != nullptr ? sequence + text + "\x1b[0m" : text;
}

} // namespace capsul::cli
