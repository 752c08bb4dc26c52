// Where something can be downloaded from.
#pragma once

#include <compare>
#include <filesystem>
#include <string>
#include <string_view>

namespace capsul {

/// A URL of http, https or file, with no user name, no password and no fragment; what URLs may not hold
/// (RFC 3986) is percent-encoded in it. That of a file is "file:///" and an absolute path without "..".
class SourceUrl {
  public:
    SourceUrl() = default;
    /// Throws Error (invalid) that says which rule was broken.
    [[nodiscard]] static SourceUrl parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    [[nodiscard]] bool is_file() const { return text_.starts_with("file:"); }
    [[nodiscard]] bool is_https() const { return text_.starts_with("https:"); }
    /// Of a file on this host.
    [[nodiscard]] std::filesystem::path path() const;
    auto operator<=>(const SourceUrl&) const = default;

  private:
    explicit SourceUrl(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

} // namespace capsul
