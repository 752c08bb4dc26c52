#include "daemon/disk_file.hpp"

#include "daemon/process.hpp"
#include "daemon/qcow2_header.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

/// For tables of a disk of terabytes on a slow host disk.
constexpr auto tool_limit = 10min;
constexpr ProcessLimits tool_limits{
    .memory_bytes = std::uint64_t{1} << 30U, .cpu_seconds = 600, .file_bytes = {}};

void sync_file(const fs::path& path) {
    const UniqueFd fd = open_file(path, O_RDONLY);
    if (::fsync(fd.get()) != 0) {
        throw_errno(errno, path.string());
    }
}

std::string start_of(const fs::path& file, std::size_t length) {
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    std::string start(length, '\0');
    const ssize_t got = ::pread(fd.get(), start.data(), start.size(), 0);
    if (got < 0) {
        throw_errno(errno, file.string());
    }
    start.resize(static_cast<std::size_t>(got));
    return start;
}

/// What `read` makes of its beginning; an Error names the file.
template <class Read>
auto read_start(const fs::path& file, std::size_t length, const Read& read) {
    const std::string start = start_of(file, length);
    try {
        return read(start);
    } catch (const Error& error) {
        throw Error(ErrorCode::verification, fmt::format("{}: {}", file.string(), error.what()),
                    error.hint());
    }
}

Qcow2Header header_of(const fs::path& file) {
    constexpr std::size_t header_length = 112;
    return read_start(file, header_length, read_own_qcow2_header);
}

/// Without a base: what the file says about one stays in it, and is passed over. The image below it is
/// somebody else's file, which is read in a sandbox only; and for none of this work its content matters,
/// since a disk is never smaller than its image.
std::string graph_of(const fs::path& file) {
    static_cast<void>(header_of(file));
    return "json:" + dump_json({{"driver", "qcow2"},
                                {"file", {{"driver", "file"}, {"filename", file.string()}}},
                                {"backing", nullptr}});
}

/// What qemu-img complained of in its first line, without the graph that it was given.
std::string complaint(const std::string& said) {
    std::string_view line(said);
    line = line.substr(0, line.find('\n'));
    if (const auto graph = line.rfind("': "); graph != std::string_view::npos) {
        line.remove_prefix(graph + 3);
    }
    return first_line(line);
}

[[noreturn]] void fail(const fs::path& file, const ProcessResult& result) {
    const std::string why = complaint(result.err);
    if (why.find("No space left") != std::string::npos) {
        throw Error(ErrorCode::no_space, fmt::format("{}: no space left on this host's disk", file.string()),
                    "free some space there");
    }
    if (why.starts_with("Failed to get")) { // a lock
        throw Error(ErrorCode::in_use, fmt::format("{}: another program has it open", file.string()),
                    "stop the VM, or whatever program uses its disk");
    }
    throw Error(ErrorCode::internal,
                fmt::format("{}: {}", file.string(),
                            why.empty() ? fmt::format("qemu-img ended with status {}", result.status) : why));
}

std::string run_tool(const fs::path& file, std::vector<std::string> argv) {
    argv.insert(argv.begin(), "qemu-img");
    const ProcessResult result = run_process(argv, tool_limit, tool_limits);
    if (result.status != 0) {
        fail(file, result);
    }
    return result.out;
}

void work_on_snapshot(const GuestDisk& disk, const char* action, const std::string& name) {
    run_tool(disk.file, {"snapshot", "-q", action, name, graph_of(disk.file)});
    sync_file(disk.file);
}

} // namespace

void create_data_disk(const fs::path& file, Bytes size) {
    run_tool(file, {"create", "-q", "-f", "qcow2", file.string(), std::to_string(size.count())});
    sync_file(file);
}

/// With -u it does not open the base.
void create_overlay(const fs::path& file, const fs::path& base, Bytes size) {
    run_tool(file, {"create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base.string(), file.string(),
                    std::to_string(size.count())});
    sync_file(file);
}

Bytes size_of_disk(const fs::path& file) {
    return Bytes(header_of(file).virtual_size);
}

fs::path base_of_disk(const fs::path& file) {
    constexpr std::size_t cluster = std::size_t{64} << 10U; // in the first one the name stands
    return read_start(file, cluster, own_qcow2_base);
}

void grow_disk(const GuestDisk& disk, Bytes size) {
    run_tool(disk.file, {"resize", "-q", graph_of(disk.file), std::to_string(size.count())});
    sync_file(disk.file);
}

void make_snapshot(const GuestDisk& disk, const std::string& name) {
    work_on_snapshot(disk, "-c", name);
}

void apply_snapshot(const GuestDisk& disk, const std::string& name) {
    work_on_snapshot(disk, "-a", name);
}

void delete_snapshot(const GuestDisk& disk, const std::string& name) {
    if (snapshots_in(disk).contains(name)) {
        work_on_snapshot(disk, "-d", name);
    }
}

std::set<std::string> snapshots_in(const GuestDisk& disk) {
    const Json info = parse_json(run_tool(disk.file, {"info", "--output=json", graph_of(disk.file)}));
    std::set<std::string> names;
    for (const Json& snapshot : info.value("snapshots", Json::array())) {
        names.insert(snapshot.value("name", std::string()));
    }
    return names;
}

void forget_base(const fs::path& file) {
    static_cast<void>(header_of(file));
    run_tool(file, {"rebase", "-q", "-u", "-f", "qcow2", "-b", "", file.string()});
    sync_file(file);
}

} // namespace capsul
