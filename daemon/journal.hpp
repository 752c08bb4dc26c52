// What the journal holds of a user unit, read with libsystemd. Knows no capsul noun.
#pragma once

#include "daemon/systemd_client.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace capsul {

/// The last `count` lines that a service's processes wrote to their standard output and error in the run that
/// `run` tells of, oldest first. Waits up to `patience` for the first one, since journald lags a little
/// behind. Empty when the journal cannot be read, or the unit has no SyslogIdentifier=. Control characters
/// are replaced.
///
/// Lines are known by that identifier, which comes with the stream. The unit would not do: journald looks it
/// up at /proc/PID when it gets round to a line, and who wrote the line may be gone by then.
[[nodiscard]] std::vector<std::string> journal_lines(const ServiceStatus& run, std::size_t count,
                                                     std::chrono::milliseconds patience);

/// Whether a program was run at all. Statuses from 200 on are those of systemd's own steps before it does
/// that (systemd.exec(5), "Process Exit Codes").
[[nodiscard]] bool was_run(const ServiceStatus& run);

/// Those of a run that has failed just now: journald is given time for them, unless no program was run.
[[nodiscard]] std::vector<std::string> last_words(const ServiceStatus& run, std::size_t count);

/// The words that make journalctl(1) show what this user's unit has written, all runs, and `with_systemd`
/// what systemd says about it too.
[[nodiscard]] std::vector<std::string> journal_matches(const std::string& unit, const std::string& identifier,
                                                       bool with_systemd);

} // namespace capsul
