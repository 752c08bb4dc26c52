// Runs a program and waits for it. Knows no capsul noun.
#pragma once

#include "daemon/output_collector.hpp"
#include "lib/fd.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace capsul {

/// What bounds a program that handles hostile input (setrlimit(2)); nothing set = inherited.
struct ProcessLimits {
    std::optional<std::uint64_t> memory_bytes;
    std::optional<std::uint64_t> cpu_seconds;
    std::optional<std::uint64_t> file_bytes;
};

struct ProcessResult {
    int status = 0; ///< exit code, or 128 + the signal that ended it
    std::string out;
    std::string err;
};

/// What a program has in its environment: the system's folders, and so that it may have many threads in
/// little memory, for each that allocates reserves an arena of 64 MiB (mallopt(3)).
constexpr const char* system_path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* one_arena = "MALLOC_ARENA_MAX=1";

/// The absolute path of a program that is in one of the system's folders, so that nobody's PATH decides what
/// runs; an absolute path stays as it is. Throws Error (not_capable), whose hint names it, when it is
/// missing.
[[nodiscard]] std::string find_program(const std::string& program);

/// Runs `argv` (argv[0] looked up in the standard system folders only, never the caller's PATH), no stdin,
/// with a clean environment (LC_ALL=C.UTF-8, PATH of the system). Collects at most 1 MiB of each output.
/// Throws Error: not_capable when the program is missing (the hint names it), timeout after `limit` (the
/// process and its children are killed and reaped).
[[nodiscard]] ProcessResult run_process(const std::vector<std::string>& argv, std::chrono::milliseconds limit,
                                        const ProcessLimits& limits = {}, const OnOutput& on_output = {});

/// The first line of what a program said, fit for a message: it may quote a hostile file.
[[nodiscard]] std::string first_line(std::string_view said);

/// A child whose standard output is read by somebody else; killed and reaped when this goes.
class ChildProcess {
  public:
    /// Starts `argv`; its stdout (and nothing else) is the write end of a pipe.
    explicit ChildProcess(const std::vector<std::string>& argv);
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    ~ChildProcess();

    /// The read end of its output; may be taken once.
    [[nodiscard]] UniqueFd take_output() { return std::move(output_); }

  private:
    pid_t pid_ = -1;
    UniqueFd output_;
};

} // namespace capsul
