// Ports of this host. Knows no capsul noun but the port.
#pragma once

#include "lib/port.hpp"

namespace capsul {

/// Whether the host port can be bound at this moment, the way QEMU would: 0, or the errno that says why not.
[[nodiscard]] int try_bind(const PublishedPort& port);

/// What a TCP server says first, up to `limit` for connecting and as long again for its words; empty when
/// nothing came.
[[nodiscard]] std::string tcp_greeting(const Endpoint& server, int limit_milliseconds);

} // namespace capsul
