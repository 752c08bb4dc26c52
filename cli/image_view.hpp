// How images are shown.
#pragma once

#include "cli/session.hpp"
#include "lib/image.hpp"

#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

[[nodiscard]] std::span<const Column<Image>> image_columns();

/// All that is known of one, for a person.
[[nodiscard]] std::string render_image(const Image& image, const OutputOptions& options);

/// A line of `image df`.
struct UsageRow {
    std::string what; ///< its name in JSON
    std::string count;
    std::uint64_t size;
    std::string meaning;

    static constexpr auto fields() {
        return field_list(required("what", &UsageRow::what), required("count", &UsageRow::count),
                          required("size", &UsageRow::size), required("meaning", &UsageRow::meaning));
    }
};
[[nodiscard]] std::vector<UsageRow> usage_rows(const DiskUsage& usage);
[[nodiscard]] std::span<const Column<UsageRow>> usage_columns();

} // namespace capsul::cli
