// Ports of this host. Knows no capsul noun but the port.
#pragma once

#include "lib/network.hpp"

namespace capsul {

/// Whether the host port can be bound at this moment, the way QEMU would: 0, or the errno that says why not.
[[nodiscard]] int try_bind(const PublishedPort& port);

/// What a TCP server on 127.0.0.1 says first, up to `limit`; empty when nothing came.
[[nodiscard]] std::string tcp_greeting(std::uint16_t port, int limit_milliseconds);

} // namespace capsul
