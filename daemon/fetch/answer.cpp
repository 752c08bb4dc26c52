#include "daemon/fetch/answer.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <utility>

namespace capsul::fetch {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t longest_header = 512;

std::optional<std::uint64_t> number(std::string_view text) {
    std::uint64_t value = 0;
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    const auto [rest, error] = std::from_chars(begin, end, value);
    return error == std::errc() && rest == end ? std::optional(value) : std::nullopt;
}

std::string lower(std::string_view text) {
    std::string copy(text);
    std::ranges::transform(copy, copy.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return copy;
}

[[noreturn]] void refuse_redirection(const Url& from, const std::string& why) {
    throw Error(ErrorCode::unreachable, fmt::format("{}: {}, where capsul does not follow", shown(from), why),
                "look at the URL with: curl -I");
}

} // namespace

std::optional<ContentRange> parse_content_range(std::string_view text) {
    constexpr std::string_view unit = "bytes ";
    const auto slash = text.find('/');
    if (!text.starts_with(unit) || slash == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view range = text.substr(unit.size(), slash - unit.size());
    const std::string_view total = text.substr(slash + 1);
    ContentRange parsed{.first = {}, .total = number(total)};
    if (!parsed.total && total != "*") {
        return std::nullopt;
    }
    if (range != "*") {
        const auto hyphen = range.find('-');
        parsed.first = number(range.substr(0, hyphen));
        const auto last = hyphen == std::string_view::npos ? std::nullopt : number(range.substr(hyphen + 1));
        if (!parsed.first || !last || *last < *parsed.first || (parsed.total && *last >= *parsed.total)) {
            return std::nullopt;
        }
    }
    return parsed;
}

std::string plain_header(std::string_view value) {
    const bool is_plain = value.size() <= longest_header &&
                          std::ranges::all_of(value, [](char c) { return c >= ' ' && c <= '~'; });
    return is_plain ? std::string(value) : std::string();
}

std::string strong_validator(std::string_view etag, std::string_view last_modified) {
    return std::string(etag.starts_with('"') ? etag : last_modified);
}

Url redirection(const Url& from, std::string_view location) {
    Url to;
    try {
        to = Url::parse(location.substr(0, location.find('#')));
    } catch (const Error& error) {
        refuse_redirection(from, fmt::format("leads on ({})", error.what()));
    }
    if (to.is_file()) {
        refuse_redirection(from, "leads to a file of this host");
    }
    if (!from.may_lead_to(to)) {
        refuse_redirection(from, fmt::format("leads from https to {}", shown(to)));
    }
    return to;
}

std::string shown(const Url& url) {
    return url.to_string().substr(0, url.to_string().find('?'));
}

bool is_web_page_type(std::string_view content_type) {
    const std::string type = lower(content_type.substr(0, content_type.find_first_of("; ")));
    return type == "text/html" || type == "application/xhtml+xml";
}

bool begins_like_web_page(std::string_view start) {
    constexpr std::string_view mark = "\xef\xbb\xbf"; // of UTF-8
    if (start.starts_with(mark)) {
        start.remove_prefix(mark.size());
    }
    start.remove_prefix(std::min(start.find_first_not_of(" \t\r\n"), start.size()));
    const std::string text = lower(start.substr(0, 64));
    return text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml") ||
           text.starts_with("<head") || text.starts_with("<!--");
}

} // namespace capsul::fetch
