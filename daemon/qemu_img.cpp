#include "daemon/qemu_img.hpp"

#include "daemon/upload_file.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr const char* program = "qemu-img";
constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

constexpr std::uint64_t memory = 1024 * mib;

/// To read `size` bytes: a slow disk has 16 MiB a second.
ToolLimits limits_to_read(std::uint64_t size) {
    return {.time = std::chrono::seconds(120 + size / (16 * mib)),
            .memory_bytes = memory,
            .cpu_seconds = 60 + size / (64 * mib),
            .file_bytes = 0};
}

/// To write a disk of `size` bytes, which may have to be compressed.
ToolLimits limits_to_write(std::uint64_t size) {
    return {.time = std::chrono::seconds(120 + size / (4 * mib)),
            .memory_bytes = memory,
            .cpu_seconds = 60 + size / (8 * mib),
            .file_bytes = size + size / 64 + 16 * mib}; // with the format's own tables
}

Json node(ImageFormat format, const fs::path& path) {
    return {{"driver", qemu_driver(format)}, {"file", {{"driver", "file"}, {"filename", path.string()}}}};
}

/// The whole graph: nothing that stands in the files leads to another one.
std::string graph(const DiskFile& disk) {
    Json nodes = node(disk.format, disk.path);
    if (disk.format != ImageFormat::raw) {
        nodes["backing"] = nullptr;
    }
    if (disk.base) {
        nodes["backing"] = node(ImageFormat::qcow2, *disk.base);
        nodes["backing"]["backing"] = nullptr;
    }
    return "json:" + dump_json(nodes);
}

std::vector<fs::path> files_of(const DiskFile& disk) {
    std::vector<fs::path> files{disk.path};
    if (disk.base) {
        files.push_back(*disk.base);
    }
    return files;
}

std::uint64_t size_of_files(const DiskFile& disk) {
    std::uint64_t size = 0;
    for (const fs::path& file : files_of(disk)) {
        size += fs::file_size(file);
    }
    return size;
}

} // namespace

std::string complaint(const std::string& program, const ProcessResult& result) {
    const std::string line = first_line(result.err);
    return line.empty() ? fmt::format("{} ended with status {}", program, result.status) : line;
}

std::optional<int> last_percent(std::string_view text) {
    const auto begin = text.rfind('(');
    int percent = 0;
    if (begin == std::string_view::npos ||
        std::from_chars(text.data() + begin + 1, text.data() + text.size(), percent).ec != std::errc{}) {
        return std::nullopt;
    }
    return std::clamp(percent, 0, 100);
}

void refuse_full_disk(const std::string& work, const ProcessResult& result, const fs::path& folder) {
    if (result.err.find("No space left on device") != std::string::npos) {
        throw Error(ErrorCode::no_space, work + ": no space left on the disk of " + folder.string(),
                    "free some space there, or remove images that are not needed");
    }
}

ProcessResult QemuImg::ask(const char* command, const DiskFile& disk,
                           const std::vector<std::string>& options) const {
    ToolRun run{{find_program(program), command, "--output=json"},
                files_of(disk),
                {},
                limits_to_read(size_of_files(disk)),
                {one_arena}};
    run.argv.insert(run.argv.end(), options.begin(), options.end());
    run.argv.push_back(graph(disk));
    return tool_.run(run, {}, cancelled_);
}

ProcessResult QemuImg::info(const DiskFile& disk) const {
    return ask("info", disk);
}

ProcessResult QemuImg::check(const DiskFile& disk) const {
    return ask("check", disk);
}

std::uint64_t QemuImg::size_as_qcow2(const DiskFile& disk) const {
    const ProcessResult result = ask("measure", disk, {"-O", "qcow2"});
    if (result.status != 0) {
        throw Error(ErrorCode::verification, "the disk cannot be read: " + complaint(program, result));
    }
    return parse_json(result.out).value("required", std::uint64_t{0});
}

void QemuImg::set_base(const fs::path& file, const fs::path& base) const {
    const std::uint64_t size = fs::file_size(file);
    ToolRun run{{find_program(program), "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base.string(),
                 file.string()},
                {file},
                {file},
                limits_to_read(size),
                {one_arena}};
    run.limits.file_bytes = size + 16 * mib;
    const ProcessResult result = tool_.run(run, {}, cancelled_);
    if (result.status != 0) {
        const std::string work = "laying the disk over its image";
        refuse_full_disk(work, result, file.parent_path());
        throw Error(ErrorCode::internal, work + ": " + complaint(program, result));
    }
}

void QemuImg::convert(const DiskFile& source, const std::string& to_format,
                      const std::vector<std::string>& options, const fs::path& target,
                      std::uint64_t virtual_size, const OnPercent& on_percent) const {
    const std::uint64_t size = std::max(size_of_files(source), virtual_size);
    ToolRun run{{find_program(program), "convert", "-p", "-O", to_format},
                files_of(source),
                {target},
                limits_to_write(size),
                {one_arena}};
    run.argv.insert(run.argv.end(), options.begin(), options.end());
    run.argv.insert(run.argv.end(), {graph(source), target.string()});
    const auto tell = [&](std::string_view piece) {
        if (const auto percent = last_percent(piece)) {
            on_percent(*percent);
        }
    };
    const std::string work = "converting to " + to_format;
    constexpr std::uint64_t between_two_looks = 64 * mib;
    const auto is_to_end = [&] {
        check_free_space(target.parent_path(), std::min(size, between_two_looks), work);
        return cancelled_ && cancelled_();
    };
    const ProcessResult result = tool_.run(run, tell, is_to_end);
    if (result.status != 0) {
        refuse_full_disk(work, result, target.parent_path());
        throw Error(ErrorCode::internal, work + ": " + complaint(program, result));
    }
}

} // namespace capsul
