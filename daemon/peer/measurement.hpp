// How much gets through between two hosts of a VPN. Who asks says so instead of telling its bundle; then the
// other sends for as long as a measurement lasts, and after that takes what comes for as long.
#pragma once

#include "lib/tls.hpp"

#include <string_view>

namespace capsul::peer {

inline constexpr std::string_view measure_request = "measure";

/// The part of the one who is asked. Throws Error.
void serve_measurement(TlsChannel& channel, Deadline deadline);

struct Throughput {
    double download = 0; ///< from the other host; Mbit/s
    double upload = 0;   ///< to it
};

/// The part of the one who asks. Throws Error.
[[nodiscard]] Throughput measure(TlsChannel& channel, Deadline deadline);

} // namespace capsul::peer
