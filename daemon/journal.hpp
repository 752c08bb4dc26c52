// What the journal holds of a user unit, read with libsystemd. Knows no capsul noun.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace capsul {

/// From one start of a unit to its end.
struct UnitRun {
    std::string invocation; ///< 32 hex digits; empty: any run
    /// Of a process that ends at once, journald may not learn the unit, only its PID. 0: the unit will do.
    std::int32_t main_pid = 0;
};

/// The last `count` lines that the unit's processes wrote in a run, oldest first. Waits up to `patience` for
/// the first one, since journald lags a little behind. Empty when the journal cannot be read. Control
/// characters are replaced.
[[nodiscard]] std::vector<std::string> journal_lines(const std::string& unit, const UnitRun& run,
                                                     std::size_t count, std::chrono::milliseconds patience);

} // namespace capsul
