#include "daemon/vmdk_header.hpp"

#include "lib/error.hpp"
#include "lib/size.hpp"

#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <string>
#include <vector>

namespace capsul {
namespace {

constexpr std::uint64_t sector = 512;
constexpr std::uint64_t largest_version = 3;
constexpr std::string_view whole_hint =
    "make it whole where its other files are: qemu-img convert -f vmdk -O qcow2 FILE image.qcow2";

[[noreturn]] void refuse(const std::string& what, std::string_view hint = whole_hint) {
    throw Error(ErrorCode::invalid, "the VMDK file " + what, std::string(hint));
}

[[noreturn]] void refuse_damaged(const std::string& why) {
    throw Error(ErrorCode::verification, "the VMDK file is damaged: " + why,
                "fetch it again, and give its checksum with --sha256 or --sha512");
}

/// Little-endian, as all numbers of the header.
std::uint64_t number_at(std::string_view bytes, std::size_t offset, std::size_t length) {
    std::uint64_t number = 0;
    for (std::size_t i = length; i > 0; --i) {
        number = number << 8U | static_cast<unsigned char>(bytes[offset + i - 1]);
    }
    return number;
}

std::string lower(std::string_view text) {
    std::string result(text);
    std::ranges::transform(result, result.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    text = text.substr(0, text.find('\0')); // it is padded
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string line(text.substr(0, end));
        std::erase(line, '\r');
        lines.push_back(std::move(line));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

/// The value of a line such as `createType="monolithicSparse"`, in lower case; empty when there is none.
std::string value_of(const std::vector<std::string>& lines, const std::string& key) {
    for (const std::string& line : lines) {
        std::string text = lower(line);
        std::erase_if(text, [](char c) { return c == ' ' || c == '\t' || c == '"'; });
        if (text.starts_with(key + "=")) {
            return text.substr(key.size() + 1);
        }
    }
    return {};
}

/// A line such as `RW 4192256 SPARSE "disk.vmdk"`.
bool is_extent(const std::string& line) {
    return line.starts_with("RW ") || line.starts_with("RDONLY ") || line.starts_with("NOACCESS ");
}

void check_descriptor(std::string_view text) {
    const std::vector<std::string> lines = lines_of(text);
    const std::string type = value_of(lines, "createtype");
    if (type != "monolithicsparse" && type != "streamoptimized") {
        refuse("is one of several that make a disk");
    }
    const std::string parent = value_of(lines, "parentcid");
    if ((!parent.empty() && parent != "ffffffff") || !value_of(lines, "parentfilenamehint").empty()) {
        refuse("has only what differs from another disk");
    }
    const auto extents = std::ranges::count_if(lines, is_extent);
    const auto sparse = std::ranges::count_if(lines, [](const std::string& line) {
        return is_extent(line) && line.find(" SPARSE ") != std::string::npos;
    });
    if (extents != 1 || sparse != 1) {
        refuse("has data in other files (extents)");
    }
}

} // namespace

void check_vmdk_header(std::string_view start, std::uint64_t max_size) {
    if (start.starts_with("# Disk DescriptorFile")) {
        refuse("is only a description of a disk, whose data is in other files (extents)");
    }
    if (start.starts_with("COWD")) {
        refuse("is of the kind of ESX servers of old");
    }
    if (start.size() < sector) {
        refuse_damaged("its header is cut off");
    }
    const std::uint64_t version = number_at(start, 4, 4);
    if (version == 0 || version > largest_version) {
        refuse(fmt::format("has version {}, which capsul does not know", version));
    }
    const std::uint64_t capacity = number_at(start, 12, 8);
    if (capacity == 0) {
        refuse("has data in other files (extents)");
    }
    if (capacity > max_size / sector) {
        throw Error(ErrorCode::too_large,
                    fmt::format("the disk has {}, more than the {} allowed",
                                human_size(std::min(capacity, UINT64_MAX / sector) * sector),
                                human_size(max_size)),
                    "max_size under [image] in capsuld.toml is the limit");
    }
    const std::uint64_t offset = number_at(start, 28, 8);
    const std::uint64_t length = number_at(start, 36, 8);
    if (offset == 0 || length == 0) {
        refuse("is one of several that make a disk");
    }
    const std::uint64_t sectors = start.size() / sector;
    if (offset >= sectors || length > sectors - offset) {
        refuse_damaged("its description is not where the header says");
    }
    check_descriptor(start.substr(offset * sector, length * sector));
}

} // namespace capsul
