// What can be seen of the host without capsuld: for when it does not answer. A check that capsuld makes too
// has its name here.
#pragma once

#include "lib/host.hpp"

#include <vector>

namespace capsul::cli {

[[nodiscard]] std::vector<Finding> check_host();

} // namespace capsul::cli
