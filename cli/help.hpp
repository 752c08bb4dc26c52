// The text of --help.
#pragma once

#include <CLI/CLI.hpp> // CLI/App.hpp alone does not link
#include <memory>
#include <string>

namespace capsul::cli {

/// Usage, what it does, commands, options, examples; in that order.
[[nodiscard]] std::string help_text(const CLI::App& command);

/// For CLI::App::formatter, so that CLI11 prints the above.
[[nodiscard]] std::shared_ptr<CLI::FormatterBase> help_formatter();

} // namespace capsul::cli
