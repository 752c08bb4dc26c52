#include "daemon/build_needs.hpp"

#include "daemon/process.hpp"
#include "daemon/user_name.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>
#include <vector>

namespace capsul {
namespace {

constexpr std::uint64_t ids_of_a_system = 65536;
constexpr std::uint64_t first_subordinate_id = 100000; // login.defs(5), SUB_UID_MIN

struct IdRange {
    std::string_view owner;
    std::uint64_t first = 0;
    std::uint64_t count = 0;
};

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

/// "OWNER:FIRST:COUNT" (subuid(5)).
std::optional<IdRange> parse_range(std::string_view line) {
    const std::size_t owner_end = line.find(':');
    const std::size_t first_end = line.find(':', owner_end + 1);
    if (owner_end == std::string_view::npos || first_end == std::string_view::npos) {
        return std::nullopt;
    }
    const auto first = number(line.substr(owner_end + 1, first_end - owner_end - 1));
    const auto count = number(line.substr(first_end + 1));
    return first && count ? std::optional(IdRange{line.substr(0, owner_end), *first, *count}) : std::nullopt;
}

std::vector<IdRange> parse_ranges(std::string_view text) {
    std::vector<IdRange> ranges;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        if (const auto range = parse_range(text.substr(0, end))) {
            ranges.push_back(*range);
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return ranges;
}

/// As mmdebstrap sees it: the first range counts.
bool has_enough(const std::vector<IdRange>& ranges, const std::string& user) {
    const auto own = std::ranges::find(ranges, user, &IdRange::owner);
    return own != ranges.end() && own->count >= ids_of_a_system;
}

std::uint64_t first_free(const std::vector<IdRange>& ranges) {
    std::uint64_t first = first_subordinate_id;
    for (const IdRange& range : ranges) {
        first = std::max(first, range.first + range.count);
    }
    return first;
}

struct Need {
    const char* program;
    const char* package;
};

std::string missing_packages(bool is_root) {
    std::vector<Need> needs{{"mmdebstrap", "mmdebstrap"},
                            {"mke2fs", "e2fsprogs"},
                            {"sfdisk", "fdisk"},
                            {"qemu-img", "qemu-utils"}};
    if (!is_root) {
        needs.push_back({"newuidmap", "uidmap"});
    }
    std::string missing;
    for (const Need& need : needs) {
        try {
            static_cast<void>(find_program(need.program));
        } catch (const Error&) {
            missing += std::string(" ") + need.package;
        }
    }
    std::error_code error;
    if (!std::filesystem::exists("/usr/share/keyrings/debian-archive-keyring.gpg", error)) {
        missing += " debian-archive-keyring";
    }
    return missing;
}

/// Empty when there is none.
std::string text_of(const char* file) {
    try {
        return read_file(file);
    } catch (const Error&) {
        return {};
    }
}

} // namespace

void require_subordinate_ids(std::string_view subuid, std::string_view subgid, const std::string& user) {
    const std::vector<IdRange> uids = parse_ranges(subuid);
    const std::vector<IdRange> gids = parse_ranges(subgid);
    std::string command;
    for (const auto& [ranges, option] :
         {std::pair(&uids, "--add-subuids"), std::pair(&gids, "--add-subgids")}) {
        if (!has_enough(*ranges, user)) {
            const std::uint64_t first = first_free(*ranges);
            command += fmt::format(" {} {}-{}", option, first, first + ids_of_a_system - 1);
        }
    }
    if (!command.empty()) {
        throw Error(ErrorCode::not_capable,
                    fmt::format("{} has no {} subordinate ids, which the files of an image are made with",
                                user, ids_of_a_system),
                    fmt::format("sudo usermod{} {}", command, user));
    }
}

void require_build_needs() {
    const bool is_root = ::geteuid() == 0;
    if (const std::string missing = missing_packages(is_root); !missing.empty()) {
        throw Error(ErrorCode::not_capable, "images cannot be built: missing are the packages" + missing,
                    "sudo apt-get install" + missing);
    }
    if (!is_root) {
        require_subordinate_ids(text_of("/etc/subuid"), text_of("/etc/subgid"), user_name());
    }
}

} // namespace capsul
