// How what was looked at is shown: by `doctor`, and by `network check`.
#pragma once

#include "cli/output.hpp"
#include "lib/host.hpp"

#include <string>
#include <vector>

namespace capsul::cli {

[[nodiscard]] Style severity_style(Severity severity);

/// A list that reads like a letter: the mark, what was found, and under it what to do.
[[nodiscard]] std::string render_findings(const std::vector<Finding>& findings, const OutputOptions& options);

} // namespace capsul::cli
