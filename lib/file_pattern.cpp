#include "lib/file_pattern.hpp"

#include "lib/error.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::string_view version_word = "{version}";
constexpr std::string_view file_word = "{file}";

std::string replaced(std::string text, std::string_view word, std::string_view by) {
    for (auto at = text.find(word); at != std::string::npos; at = text.find(word, at + by.size())) {
        text.replace(at, word.size(), by);
    }
    return text;
}

std::string for_architecture(const std::string& text, Architecture architecture) {
    return replaced(replaced(text, "{arch}", capsul::to_string(architecture)), "{debian_arch}",
                    debian_word(architecture));
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const auto place = text.find(separator);
        parts.push_back(text.substr(0, place));
        if (place == std::string_view::npos) {
            return parts;
        }
        text.remove_prefix(place + separator.size());
    }
}

bool is_version_part(std::string_view text) {
    constexpr std::string_view allowed = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._+-";
    return !text.empty() && text.front() >= '0' && text.front() <= '9' &&
           text.find_first_not_of(allowed) == std::string_view::npos;
}

/// The text of two versions with `between` between them, as "1.0.0-20240629".
std::optional<std::string> two_versions(std::string_view text, std::string_view between) {
    for (auto at = text.find(between); at != std::string_view::npos; at = text.find(between, at + 1)) {
        const std::string_view first = text.substr(0, at);
        const std::string_view second = text.substr(at + between.size());
        if (is_version_part(first) && is_version_part(second)) {
            return fmt::format("{}-{}", first, second);
        }
    }
    return std::nullopt;
}

} // namespace

FilePattern FilePattern::parse(std::string_view text) {
    constexpr std::size_t most_versions = 2;
    const auto refuse = [&](const char* rule) {
        throw Error(
            ErrorCode::invalid, fmt::format("'{}' is not the name of a file: {}", one_line(text, 60), rule),
            "write it as debian-12-genericcloud-{debian_arch}.qcow2; {arch}, {debian_arch} and {version} "
            "stand for what changes");
    };
    const std::string pattern(text);
    if (split(text, version_word).size() > most_versions + 1) {
        refuse("it has {version} more than twice");
    }
    if (pattern.find("{version}{version}") != std::string::npos) {
        refuse("nothing parts its two versions");
    }
    if (!is_plain_file_name(replaced(for_architecture(pattern, Architecture::x86_64), version_word, "1"))) {
        refuse("it has a character, or a word in braces, that is not known");
    }
    return FilePattern(pattern);
}

bool FilePattern::has_version() const {
    return text_.find(version_word) != std::string::npos;
}

std::optional<std::string> FilePattern::version_of(std::string_view file, Architecture architecture) const {
    const std::string pattern = for_architecture(text_, architecture);
    const std::vector<std::string_view> parts = split(pattern, version_word);
    if (parts.size() == 1) {
        return file == pattern ? std::optional<std::string>("") : std::nullopt;
    }
    const std::size_t ends = parts.front().size() + parts.back().size();
    if (file.size() <= ends || !file.starts_with(parts.front()) || !file.ends_with(parts.back())) {
        return std::nullopt;
    }
    const std::string_view middle = file.substr(parts.front().size(), file.size() - ends);
    if (parts.size() == 3) {
        return two_versions(middle, parts[1]);
    }
    return is_version_part(middle) ? std::optional<std::string>(middle) : std::nullopt;
}

std::string FilePattern::file_name(Architecture architecture) const {
    return for_architecture(text_, architecture);
}

SumsPath SumsPath::parse(std::string_view text) {
    const SumsPath path{std::string(text)};
    try {
        static_cast<void>(Url::parse("https://x/").resolve(path.path(Architecture::x86_64, "x")));
    } catch (const Error&) {
        throw Error(
            ErrorCode::invalid, fmt::format("'{}' is not a path to checksums", one_line(text, 60)),
            "write it as bookworm/latest/SHA512SUMS, below the url of the source; {arch}, {debian_arch} and "
            "{file} stand for what changes");
    }
    const std::size_t file = text.find(file_word);
    if (file != std::string_view::npos && text.find('/', file) != std::string_view::npos) {
        throw Error(ErrorCode::invalid,
                    fmt::format("'{}' has {{file}} in the name of a folder", one_line(text, 60)));
    }
    return path;
}

bool SumsPath::has_file() const {
    return text_.find(file_word) != std::string::npos;
}

std::string SumsPath::path(Architecture architecture, std::string_view file) const {
    return replaced(for_architecture(text_, architecture), file_word, file);
}

} // namespace capsul
