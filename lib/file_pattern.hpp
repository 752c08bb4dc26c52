// How a publisher calls his files: names with parts that change.
#pragma once

#include "lib/catalogue.hpp"

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

/// The name of a file, such as "Rocky-9-GenericCloud-Base-{version}.{arch}.qcow2". {arch} is the machine's
/// word as "x86_64", {debian_arch} as "amd64"; {version}, once or twice, is whatever begins with a digit
/// there.
class FilePattern {
  public:
    FilePattern() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static FilePattern parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    [[nodiscard]] bool has_version() const;
    /// The version in a file's name, its two parts with a hyphen between; empty when the pattern has none.
    /// Nothing when the file is called otherwise.
    [[nodiscard]] std::optional<std::string> version_of(std::string_view file,
                                                        Architecture architecture) const;
    /// The file's name, of a pattern without a version.
    [[nodiscard]] std::string file_name(Architecture architecture) const;
    auto operator<=>(const FilePattern&) const = default;

  private:
    explicit FilePattern(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// Where the checksums of a file are, below the address of its source: "9/images/{arch}/CHECKSUM", or, with
/// one for each file, "v3.24/releases/cloud/{file}.sha512".
class SumsPath {
  public:
    SumsPath() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static SumsPath parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    /// Whether the name of the file is in it.
    [[nodiscard]] bool has_file() const;
    [[nodiscard]] std::string path(Architecture architecture, std::string_view file) const;
    auto operator<=>(const SumsPath&) const = default;

  private:
    explicit SumsPath(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

} // namespace capsul
