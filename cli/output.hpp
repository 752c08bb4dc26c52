// Standard output: data, in the form that -o names. Nothing else is ever written there.
#pragma once

#include "cli/table.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace capsul::cli {

enum class Format { table, wide, json, jsonl, csv, name };

} // namespace capsul::cli

namespace capsul {
template <>
struct EnumWords<cli::Format> {
    static constexpr std::array<std::pair<cli::Format, std::string_view>, 6> words{
        {{cli::Format::table, "table"},
         {cli::Format::wide, "wide"},
         {cli::Format::json, "json"},
         {cli::Format::jsonl, "jsonl"},
         {cli::Format::csv, "csv"},
         {cli::Format::name, "name"}}};
};
} // namespace capsul

namespace capsul::cli {

/// How data is to look.
struct OutputOptions {
    Format format = Format::table;
    bool headings = true;
    bool color = false;
    bool to_terminal = false;
    std::vector<std::string> columns; ///< empty = the default ones
};

/// A buffered file descriptor that remembers how writing went.
class Output {
  public:
    explicit Output(int fd) : fd_(fd) {}

    [[nodiscard]] int fd() const noexcept { return fd_; }
    void write(std::string_view text);
    void flush();
    /// Whoever read has left (EPIPE): not an error, but there is no use in going on.
    [[nodiscard]] bool reader_gone() const noexcept { return failure_ == reader_left; }
    /// Flushes; throws Error when anything could not be written, unless the reader has left.
    void finish();

  private:
    static constexpr int reader_left = -1;
    int fd_;
    int failure_ = 0; ///< an errno, or reader_left
    std::string buffer_;
};

/// When a column is shown without being asked for.
enum class Shown { always, wide, filled, on_request }; ///< `filled`: when any row has a value there

template <class T>
struct Column {
    const char* name;
    std::string (*text)(const T&);
    Shown shown = Shown::always;
    bool right = false;
    Style (*style)(const T&) = nullptr;
    std::string (*raw)(const T&) = nullptr; ///< CSV has this instead: a plain number
};

/// What print_list needs to know of a column.
struct ColumnFacts {
    std::string name;
    Shown shown;
    bool filled;
};

/// Throws Error (invalid) for a column that is not there, listing those that are.
void check_columns(const std::vector<std::string>& wanted, const std::vector<std::string>& there);

/// The indexes of the columns to print; throws as check_columns does.
[[nodiscard]] std::vector<std::size_t> choose_columns(const OutputOptions& options,
                                                      const std::vector<ColumnFacts>& columns);

/// JSON on one line, or with `indent`.
[[nodiscard]] std::string render_json(const Json& value, const OutputOptions& options, int indent);
/// One object as -o json (indented) or -o jsonl (a line) has it.
[[nodiscard]] std::string render_object(const Json& value, const OutputOptions& options);
[[nodiscard]] std::string render_grid(const Grid& grid, const OutputOptions& options);

/// What `text` makes of each of `values`, with commas between, as one cell has it; what is empty is left out.
template <class Values, class Text>
[[nodiscard]] std::string joined(const Values& values, const Text& text) {
    std::string all;
    for (const auto& value : values) {
        const std::string one = text(value);
        all += (all.empty() || one.empty() ? "" : ",") + one;
    }
    return all;
}

/// A checked value as text; empty for none.
template <Textual T>
[[nodiscard]] std::string optional_text(const std::optional<T>& value) {
    return value ? value->to_string() : std::string();
}

/// Text from outside on its way to standard output: harmless on a terminal, untouched elsewhere.
[[nodiscard]] std::string for_output(const std::string& text, const OutputOptions& options);

template <class T>
[[nodiscard]] Grid make_grid(const std::vector<T>& rows, std::span<const Column<T>> columns,
                             const OutputOptions& options) {
    std::vector<ColumnFacts> facts;
    for (const Column<T>& column : columns) {
        const auto has_value = [&](const T& row) { return !column.text(row).empty(); };
        facts.push_back({column.name, column.shown,
                         column.shown == Shown::filled && std::any_of(rows.begin(), rows.end(), has_value)});
    }
    const std::vector<std::size_t> chosen = choose_columns(options, facts);
    Grid grid;
    for (const std::size_t i : chosen) {
        grid.headings.push_back({columns[i].name, columns[i].right});
    }
    for (const T& row : rows) {
        std::vector<Cell>& cells = grid.rows.emplace_back();
        for (const std::size_t i : chosen) {
            const bool is_raw = options.format == Format::csv && columns[i].raw != nullptr;
            cells.push_back({is_raw ? columns[i].raw(row) : columns[i].text(row),
                             columns[i].style == nullptr ? Style::plain : columns[i].style(row)});
        }
    }
    return grid;
}

/// The rows in the form asked for; the first column is the name.
template <class T>
void print_list(Output& out, const OutputOptions& options, const std::vector<T>& rows,
                std::span<const Column<T>> columns) {
    switch (options.format) {
    case Format::json:
        out.write(render_json(encode(rows), options, 2));
        return;
    case Format::jsonl:
        for (const T& row : rows) {
            out.write(render_json(encode(row), options, -1));
        }
        return;
    case Format::name:
        for (const T& row : rows) {
            out.write(for_output(columns.front().text(row), options) + '\n');
        }
        return;
    case Format::table:
    case Format::wide:
    case Format::csv:
        out.write(render_grid(make_grid(rows, columns, options), options));
    }
}

/// One object: for a person what `render` makes of it, else the form asked for.
template <class T, class Render>
void print_one(Output& out, const OutputOptions& options, const T& object, std::span<const Column<T>> columns,
               const Render& render) {
    const bool for_person = options.format == Format::table || options.format == Format::wide;
    if (options.format == Format::json) {
        out.write(render_object(encode(object), options));
    } else if (for_person && options.columns.empty()) {
        out.write(render(object, options));
    } else {
        print_list<T>(out, options, {object}, columns);
    }
}

/// What was made: the object for a program that reads JSON, else its row.
template <class T>
void print_made(Output& out, const OutputOptions& options, const T& object,
                std::span<const Column<T>> columns) {
    if (options.format == Format::json) {
        out.write(render_object(encode(object), options));
    } else {
        print_list<T>(out, options, {object}, columns);
    }
}

/// A label and its value, as `show` lists them; one without a value is left out.
struct Line {
    std::string label;
    std::string value;
    Style style = Style::plain;
};
[[nodiscard]] std::string render_lines(const std::vector<Line>& lines, const OutputOptions& options);

} // namespace capsul::cli
