// What carries the traffic of one published port.
#pragma once

#include <chrono>

namespace capsul::relay {

using Clock = std::chrono::steady_clock;

class Relay {
  public:
    Relay() = default;
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;
    virtual ~Relay() = default;

    /// Called once a second or so.
    virtual void tick(Clock::time_point now) = 0;
    /// Nobody is being served.
    [[nodiscard]] virtual bool is_idle() const = 0;
};

} // namespace capsul::relay
