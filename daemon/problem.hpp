// What a failure looks like to the caller.
#pragma once

#include "lib/operation.hpp"

#include <string_view>

namespace capsul {

/// To be called in a catch block. An Error as it is; anything else is a bug: told to the journal (standard
/// error) with what was being done, and to the caller without its words.
[[nodiscard]] Problem problem_of_current_exception(std::string_view doing);

} // namespace capsul
