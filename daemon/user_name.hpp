// Who capsuld runs as.
#pragma once

#include <string>

namespace capsul {

/// The account's name; its number when it has none.
[[nodiscard]] std::string user_name();

} // namespace capsul
