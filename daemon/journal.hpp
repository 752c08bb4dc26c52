// What the journal holds of a user unit, read with libsystemd. Knows no capsul noun.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace capsul {

/// The last `count` lines that the unit's processes wrote in the run `invocation` (32 hex digits; empty = any
/// run), oldest first. Waits up to `patience` for the first one, since journald lags a little behind. Empty
/// when the journal cannot be read. Control characters are replaced.
[[nodiscard]] std::vector<std::string> journal_lines(const std::string& unit, const std::string& invocation,
                                                     std::size_t count, std::chrono::milliseconds patience);

} // namespace capsul
