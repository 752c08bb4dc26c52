// Where an image or a document about images is.
#pragma once

#include <compare>
#include <filesystem>
#include <string>
#include <string_view>

namespace capsul {

/// An address that begins with https://, http:// or file:///. It has no user, no password and no fragment,
/// its path goes nowhere by "." and "..", and of what must not be in a URL (RFC 3986 2) nothing is in it.
class Url {
  public:
    static constexpr std::size_t longest = 2048;

    Url() = default;
    /// Throws Error (invalid) that says which rule was broken.
    [[nodiscard]] static Url parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }

    /// "https", "http" or "file".
    [[nodiscard]] std::string_view scheme() const;
    /// With its port, as "example.org:8443"; empty for a file.
    [[nodiscard]] std::string_view host() const;
    [[nodiscard]] bool is_file() const { return scheme() == "file"; }
    /// The file of this host that a file: URL names.
    [[nodiscard]] std::filesystem::path file() const;
    /// From its first slash on, without a query.
    [[nodiscard]] std::string_view path() const;
    /// After the last slash of the path; empty for a folder.
    [[nodiscard]] std::string_view file_name() const;
    /// What file_name() is in: the same without it and without a query, ending in a slash.
    [[nodiscard]] Url folder() const;
    /// What may be told of it: what follows a '?' may be somebody's key.
    [[nodiscard]] Url without_query() const;
    /// The same with something after its path, such as ".asc". Throws Error (invalid).
    [[nodiscard]] Url with_suffix(std::string_view suffix) const;

    /// A place below folder(): plain names with slashes between them, so never another host, never a folder
    /// above, and nothing that would have to be decoded. Throws Error (invalid).
    [[nodiscard]] Url resolve(std::string_view relative) const;
    /// Whether what was read here may send somebody on to `next`: never from the network to a file, and never
    /// from https to http.
    [[nodiscard]] bool may_lead_to(const Url& next) const;

    auto operator<=>(const Url&) const = default;

  private:
    explicit Url(std::string text) : text_(std::move(text)) {}
    [[nodiscard]] std::size_t path_begin() const;
    std::string text_;
};

/// A name that a URL's path can have between two slashes and that means just itself: letters, digits and
/// "._~+:@=,-", and neither "." nor "..".
[[nodiscard]] bool is_plain_file_name(std::string_view name);

} // namespace capsul
