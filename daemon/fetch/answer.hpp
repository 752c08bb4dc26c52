// What the beginning of a server's answer tells. Pure.
#pragma once

#include "lib/size.hpp"
#include "lib/url.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace capsul::fetch {

/// All of an answer but what it is about. A header that is absent, or that no honest server sends, is empty.
struct Head {
    int status = 0; ///< of HTTP: 200, 206, 304 or 416
    Url url;        ///< that has answered, after redirections
    std::string etag;
    std::string last_modified;
    std::optional<Timestamp> modified; ///< the same
    std::string content_type;
    std::string content_range;
    std::optional<std::uint64_t> length; ///< of what follows
};

/// "bytes 100-199/1000", of which the first two (status 416) or the last one may be "*" (RFC 9110 14.4).
struct ContentRange {
    std::optional<std::uint64_t> first;
    std::optional<std::uint64_t> total;
};
[[nodiscard]] std::optional<ContentRange> parse_content_range(std::string_view text);

/// A header's value, if it is one to be kept and sent back: printable, and not absurdly long.
[[nodiscard]] std::string plain_header(std::string_view value);

/// What If-Range takes (RFC 9110 13.1.5): an entity tag that is not weak, else the date; else nothing.
[[nodiscard]] std::string strong_validator(std::string_view etag, std::string_view last_modified);

/// The next place to ask when `from` answers "Location: `location`". Throws Error (unreachable) for one that
/// is not gone to: from the network into this host's files, or from https to http.
[[nodiscard]] Url redirection(const Url& from, std::string_view location);

/// As it may be shown: what follows a "?" may be somebody's key.
[[nodiscard]] std::string shown(const Url& url);

/// A web page, as servers send it that want somebody to log in first.
[[nodiscard]] bool is_web_page_type(std::string_view content_type);
/// How many bytes of a file's start are wanted to tell (fewer when it is shorter).
inline constexpr std::size_t web_page_bytes = 512;
[[nodiscard]] bool begins_like_web_page(std::string_view start);

} // namespace capsul::fetch
