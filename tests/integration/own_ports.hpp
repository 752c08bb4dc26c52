// Ports for tests, which run beside each other.
#pragma once

#include <cstdint>
#include <unistd.h>

namespace capsul::test {

constexpr int ports_each = 16;

/// One of this process's ports, from 0 to 15, of which no test that runs beside it has any. All are from
/// 10000 to 19999: the kernel gives none of these to outgoing connections, so what is free stays free.
inline std::uint16_t own_port(int which) {
    return static_cast<std::uint16_t>(10000 + ::getpid() % (10000 / ports_each) * ports_each + which);
}

} // namespace capsul::test
