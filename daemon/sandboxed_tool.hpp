// Runs a program on files that nobody vouches for, in a systemd unit of its own: without network, with those
// files alone to see, with limits of time, memory, CPU time and output.
#pragma once

#include "daemon/process.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/tool_unit.hpp"
#include "daemon/user_units.hpp"
#include "lib/paths.hpp"

namespace capsul {

/// Thread-safe.
class SandboxedTool {
  public:
    using Cancelled = SystemdClient::Cancelled;

    /// `programs` is the folder of capsul's own programs.
    SandboxedTool(const Paths& paths, fs::path programs, SystemdClient& systemd)
        : paths_(paths), programs_(std::move(programs)), systemd_(systemd), units_(paths) {}

    /// Ends and removes what a crash left. Called once, before anything else.
    void sweep() const;

    /// Makes the files that it writes, which are there whatever happens, and runs it to its end. Collects at
    /// most 1 MiB of each output, and tells `on_output` of the first one as it comes, on a thread of its own.
    /// Throws Error: timeout, not_capable when systemd does not get as far as to run the program, and
    /// unreachable soon after `cancelled` says so; the program has ended then.
    [[nodiscard]] ProcessResult run(const ToolRun& run, const OnOutput& on_output = {},
                                    const Cancelled& cancelled = {}) const;

    [[nodiscard]] const fs::path& programs() const noexcept { return programs_; }

  private:
    class Unit;
    [[nodiscard]] int status_of_failure(const std::string& unit, const std::string& program) const;
    [[nodiscard]] fs::path pipes() const { return paths_.runtime / "capsul/tools"; }

    const Paths& paths_;
    const fs::path programs_;
    SystemdClient& systemd_;
    const UserUnits units_;
};

} // namespace capsul
