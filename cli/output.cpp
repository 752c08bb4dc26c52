#include "cli/output.hpp"

#include "cli/terminal.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

constexpr std::size_t buffer_limit = std::size_t{64} << 10U;

bool shown_by_default(const ColumnFacts& column, Format format) {
    switch (column.shown) {
    case Shown::always:
        return true;
    case Shown::wide:
        return format != Format::table;
    case Shown::filled:
        return format != Format::table || column.filled;
    case Shown::on_request:
        return false;
    }
    return false;
}

} // namespace

void Output::write(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() >= buffer_limit) {
        flush();
    }
}

void Output::flush() {
    std::string_view rest = buffer_;
    while (!rest.empty() && failure_ == 0) {
        const ssize_t written = ::write(fd_, rest.data(), rest.size());
        if (written >= 0) {
            rest.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno != EINTR) {
            failure_ = errno == EPIPE ? reader_left : errno;
        }
    }
    buffer_.clear();
}

void Output::finish() {
    flush();
    if (failure_ > 0) {
        throw Error(ErrorCode::internal,
                    "cannot write to standard output: " + std::generic_category().message(failure_));
    }
}

void check_columns(const std::vector<std::string>& wanted, const std::vector<std::string>& there) {
    for (const std::string& name : wanted) {
        if (std::ranges::find(there, name) == there.end()) {
            throw Error(ErrorCode::invalid, fmt::format("--columns: there is no column '{}'", name),
                        fmt::format("columns are {}", fmt::join(there, ", ")));
        }
    }
}

std::vector<std::size_t> choose_columns(const OutputOptions& options,
                                        const std::vector<ColumnFacts>& columns) {
    std::vector<std::string> names;
    std::ranges::transform(columns, std::back_inserter(names), &ColumnFacts::name);
    check_columns(options.columns, names);
    std::vector<std::size_t> chosen;
    for (const std::string& name : options.columns) {
        chosen.push_back(static_cast<std::size_t>(std::ranges::find(names, name) - names.begin()));
    }
    if (!options.columns.empty()) {
        return chosen;
    }
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (shown_by_default(columns[i], options.format)) {
            chosen.push_back(i);
        }
    }
    return chosen;
}

std::string render_json(const Json& value, const OutputOptions& options, int indent) {
    // On a terminal nothing but ASCII, so that no character in a value can act on it.
    return value.dump(indent, ' ', options.to_terminal, Json::error_handler_t::replace) + '\n';
}

std::string render_object(const Json& value, const OutputOptions& options) {
    return render_json(value, options, options.format == Format::json ? 2 : -1);
}

std::string for_output(const std::string& text, const OutputOptions& options) {
    return options.to_terminal ? printable(text, true) : text;
}

std::string render_grid(const Grid& grid, const OutputOptions& options) {
    if (options.format == Format::csv) {
        return for_output(render_csv(grid, options.headings), options);
    }
    return render_table(grid, {.headings = options.headings, .color = options.color});
}

std::string render_lines(const std::vector<Line>& lines, const OutputOptions& options) {
    std::size_t width = 0;
    for (const Line& line : lines) {
        width = std::max(width, line.value.empty() ? 0 : line.label.size() + 1);
    }
    std::string out;
    for (const Line& line : lines) {
        if (!line.value.empty()) {
            out += fmt::format("{:<{}}  {}\n", line.label + ":", width,
                               styled(printable(line.value), line.style, options.color));
        }
    }
    return out;
}

} // namespace capsul::cli
