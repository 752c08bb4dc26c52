#include "cli/findings_view.hpp"

#include "cli/terminal.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul::cli {

Style severity_style(Severity severity) {
    switch (severity) {
    case Severity::ok:
        return Style::good;
    case Severity::warning:
        return Style::changing;
    case Severity::failure:
        return Style::bad;
    }
    return Style::plain;
}

std::string render_findings(const std::vector<Finding>& findings, const OutputOptions& options) {
    std::size_t width = 0;
    for (const Finding& finding : findings) {
        width = std::max(width, finding.check.size());
    }
    std::string out;
    for (const Finding& finding : findings) {
        const std::string mark = fmt::format("{:<7}", to_string(finding.severity));
        out += fmt::format("{}  {:<{}}  {}\n", styled(mark, severity_style(finding.severity), options.color),
                           printable(finding.check), width, printable(finding.message));
        if (!finding.hint.empty()) {
            out += fmt::format("{:<{}}hint: {}\n", "", width + 11, printable(finding.hint));
        }
    }
    return out;
}

} // namespace capsul::cli
