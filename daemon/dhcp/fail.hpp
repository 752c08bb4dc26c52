// How a call of the kernel's that failed is told.
#pragma once

#include <string>
#include <system_error>

namespace capsul::dhcp {

/// Throws std::system_error: "`what`: " and what the errno `error` means.
[[noreturn]] inline void fail(int error, const std::string& what) {
    throw std::system_error(error, std::generic_category(), what);
}

} // namespace capsul::dhcp
