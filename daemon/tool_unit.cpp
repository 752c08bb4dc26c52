#include "daemon/tool_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::string_view prefix = "capsul-tool-";
constexpr std::string_view suffix = ".service";

// LimitAS= beside MemoryMax=, since a user's manager may not have the memory controller.
std::string limit_lines(const ToolLimits& limits) {
    return fmt::format(R"(UMask=0077

# Limits
LimitCORE=0
CoredumpFilter=0
LimitNOFILE=256
LimitAS={memory}
LimitCPU={cpu}
LimitFSIZE={file}
MemoryMax={memory}
MemorySwapMax=0
TasksMax=128
OOMPolicy=stop
OOMScoreAdjust=200
)",
                       fmt::arg("memory", limits.memory_bytes), fmt::arg("cpu", limits.cpu_seconds),
                       fmt::arg("file", limits.file_bytes));
}

/// Those that it does not change.
std::vector<std::filesystem::path> only_read(const ToolRun& run) {
    std::vector<std::filesystem::path> files = run.readable;
    std::erase_if(
        files, [&](const auto& file) { return std::ranges::find(run.writable, file) != run.writable.end(); });
    return files;
}

/// capsul-run sees that the sandbox below is there, narrows it to the same files, and becomes the program: it
/// also keeps that from sending signals to others of this user.
std::vector<std::string> start_command(const ToolRun& run, const ToolPlaces& places) {
    std::vector<std::string> argv{(places.programs / "capsul-run").string()};
    if (run.children) {
        argv.emplace_back("--children");
    }
    for (const std::filesystem::path& file : only_read(run)) {
        argv.insert(argv.end(), {"--ro", file.string()});
    }
    for (const std::filesystem::path& file : run.writable) {
        argv.insert(argv.end(), {"--rw", file.string()});
    }
    argv.emplace_back("--");
    if (!run.environment.empty()) {
        argv.emplace_back("/usr/bin/env");
        argv.insert(argv.end(), run.environment.begin(), run.environment.end());
    }
    argv.insert(argv.end(), run.argv.begin(), run.argv.end());
    return argv;
}

// The filter on address families stays where a network namespace cannot be had.
constexpr std::string_view alone = R"(MemoryDenyWriteExecute=yes
RestrictAddressFamilies=none
PrivateNetwork=yes
)";

// capsul-run makes the namespaces, and refuses them to the program. A QEMU without KVM writes code that it
// runs.
constexpr std::string_view with_children = R"(RestrictNamespaces=user net pid
SystemCallFilter=capset
RestrictAddressFamilies=AF_UNIX
PrivateNetwork=yes
)";

std::string sandbox(const ToolRun& run, const ToolPlaces& places) {
    std::string text = run.children ? nesting_sandbox_lines() : sandbox_lines();
    text += run.children ? with_children : alone;
    text += disk_lines(places.programs, {places.data});
    for (const std::filesystem::path& file : only_read(run)) {
        text += fmt::format("BindReadOnlyPaths={}\n", unit_path(file));
    }
    for (const std::filesystem::path& file : run.writable) {
        text += fmt::format("BindPaths={0}\nNoExecPaths={0}\n", unit_path(file));
    }
    return text;
}

} // namespace

std::string tool_unit_name(const Uuid& id) {
    return fmt::format("{}{}{}", prefix, id.to_string(), suffix);
}

bool is_tool_unit(const std::string& unit) {
    return unit.starts_with(prefix) && unit.ends_with(suffix);
}

std::string tool_unit(const ToolRun& run, const ToolPlaces& places) {
    const std::string program = std::filesystem::path(run.argv.at(0)).filename().string();
    std::string text = fmt::format(
        R"(# Runs {program} once on a file that comes from outside, written by capsul. It is there only for as long.
[Unit]
Description={program} on a file from outside
Documentation=man:capsulctl-image(1)

[Service]
Type=oneshot
ExecStart={start}
TimeoutStartSec={limit}s
TimeoutStopSec=5s
# Pipes, which capsuld reads up to a limit.
StandardOutput=file:{out}
StandardError=file:{err}
)",
        fmt::arg("program", program), fmt::arg("start", quote_exec_line(start_command(run, places))),
        fmt::arg("limit", run.limits.time.count()), fmt::arg("out", unit_path(places.out)),
        fmt::arg("err", unit_path(places.err)));
    text += limit_lines(run.limits);
    text += sandbox(run, places);
    return seal(std::move(text));
}

} // namespace capsul
