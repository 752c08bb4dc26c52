// The files in completions/, for `capsulctl completion SHELL`.
#pragma once

#include <string_view>

namespace capsul::cli {

extern const std::string_view bash_completion;
extern const std::string_view zsh_completion;
extern const std::string_view fish_completion;

} // namespace capsul::cli
