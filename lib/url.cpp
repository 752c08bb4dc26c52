#include "lib/url.hpp"

#include "lib/ascii.hpp"
#include "lib/cidr.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::array<std::string_view, 3> schemes{"https", "http", "file"};
constexpr std::string_view colon_slashes = "://";

bool is_one_of(char c, std::string_view set) {
    return set.find(c) != std::string_view::npos;
}

/// As an error may show it: short, no control characters, no query, and nothing that may be a password.
std::string shown(std::string_view text) {
    std::string out;
    const bool has_user = text.find('@') != std::string_view::npos;
    const std::size_t secret = text.find_first_of(has_user ? "/?#" : "?#");
    const std::string_view harmless = text.substr(0, std::min(secret, std::size_t{80}));
    for (const char c : harmless) {
        out += c >= ' ' && c <= '~' ? c : '?';
    }
    return out + (text.size() > harmless.size() ? "…" : "");
}

[[noreturn]] void refuse(std::string_view text, std::string_view rule) {
    throw Error(ErrorCode::invalid, fmt::format("'{}' is not a valid URL: {}", shown(text), rule),
                "write it as https://example.org/images/debian.qcow2 or file:///srv/images/debian.qcow2");
}

int hex_value(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// With what is written as %41 as the character that it stands for.
std::string decoded(std::string_view text, std::string_view whole) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        const bool is_whole = i + 2 < text.size();
        const int high = is_whole ? hex_value(text[i + 1]) : -1;
        const int low = is_whole ? hex_value(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            refuse(whole, "after % stand two hexadecimal digits");
        }
        out += static_cast<char>(high * 16 + low);
        i += 2;
    }
    return out;
}

/// Between two slashes.
void check_segment(std::string_view segment, std::string_view whole) {
    const std::string plain = decoded(segment, whole);
    if (plain == "." || plain == "..") {
        refuse(whole, "its path has '.' or '..' in it");
    }
    if (plain.find_first_of("/\\") != std::string::npos) {
        refuse(whole, "it has a slash in disguise");
    }
    if (std::ranges::any_of(plain, [](unsigned char c) { return c < ' ' || c == 0x7f; })) {
        refuse(whole, "it has a control character in disguise");
    }
}

void check_path(std::string_view path, std::string_view whole) {
    std::size_t begin = 0;
    while (begin <= path.size()) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        check_segment(path.substr(begin, end - begin), whole);
        begin = end + 1;
    }
}

void check_characters(std::string_view text) {
    if (text.size() > Url::longest) {
        refuse(text, fmt::format("it is longer than {}", Url::longest));
    }
    constexpr std::string_view never = "\"<>\\^`{|}";
    if (!std::ranges::all_of(text, [&](char c) { return c > ' ' && c <= '~' && !is_one_of(c, never); })) {
        refuse(text, "it has a character that no URL has");
    }
    if (text.find('#') != std::string_view::npos) {
        refuse(text, "it has a fragment, from # on");
    }
}

bool is_host_label(std::string_view label) {
    return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
           std::ranges::all_of(label, [](char c) { return is_letter(c) || is_digit(c) || c == '-'; });
}

bool is_host_name(std::string_view name) {
    if (name.size() > 253) {
        return false;
    }
    std::size_t begin = 0;
    while (begin <= name.size()) {
        const std::size_t end = std::min(name.find('.', begin), name.size());
        if (!is_host_label(name.substr(begin, end - begin))) {
            return false;
        }
        begin = end + 1;
    }
    return true;
}

bool is_ipv6(std::string_view text) {
    try {
        return IpAddress::parse(text).is_ipv6();
    } catch (const Error&) {
        return false;
    }
}

void check_port(std::string_view port, std::string_view whole) {
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc{} || end != port.data() + port.size() || number == 0) {
        refuse(whole, "its port is not a number from 1 to 65535");
    }
}

/// A name or an address, and perhaps a port.
void check_authority(std::string_view authority, std::string_view whole) {
    if (authority.find('@') != std::string_view::npos) {
        refuse(whole, "it has a user or a password in it");
    }
    const bool is_bracketed = authority.starts_with('[');
    const std::size_t host_end = is_bracketed ? authority.find(']') : authority.find(':');
    const std::string_view host = authority.substr(is_bracketed ? 1 : 0, host_end - (is_bracketed ? 1 : 0));
    if (is_bracketed && host_end == std::string_view::npos) {
        refuse(whole, "the bracket of its address is not closed");
    }
    if (is_bracketed ? !is_ipv6(host) : !is_host_name(host)) {
        refuse(whole, "its host is neither a name nor an address");
    }
    const std::size_t rest = is_bracketed ? host_end + 1 : std::min(host_end, authority.size());
    if (rest == authority.size()) {
        return;
    }
    if (authority[rest] != ':') {
        refuse(whole, "after its host stands neither a port nor a path");
    }
    check_port(authority.substr(rest + 1), whole);
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    return out;
}

} // namespace

Url Url::parse(std::string_view text) {
    check_characters(text);
    const std::size_t scheme_end = text.find(colon_slashes);
    const std::string scheme = lower(text.substr(0, std::min(scheme_end, text.size())));
    if (scheme_end == std::string_view::npos || std::ranges::find(schemes, scheme) == schemes.end()) {
        refuse(text, "it does not begin with https://, http:// or file:///");
    }
    const std::string_view rest = text.substr(scheme_end + colon_slashes.size());
    const std::size_t authority_end = std::min(rest.find_first_of("/?"), rest.size());
    const std::string_view authority = rest.substr(0, authority_end);
    const std::string_view after = rest.substr(authority_end);
    const std::string_view path = after.substr(0, after.find('?'));
    if (scheme == "file" && (!authority.empty() || path.size() < 2 || path.size() != after.size())) {
        refuse(text, "a file is named by file:/// and its path");
    }
    if (scheme != "file") {
        check_authority(authority, text);
    }
    if (scheme == "file" && path.find("//") != std::string_view::npos) {
        refuse(text, "the path of its file has two slashes in a row");
    }
    check_path(path, text);
    return Url(
        fmt::format("{}{}{}{}{}", scheme, colon_slashes, lower(authority), path.empty() ? "/" : "", after));
}

std::string_view Url::scheme() const {
    return std::string_view(text_).substr(0, text_.find(colon_slashes));
}

std::size_t Url::path_begin() const {
    return text_.find('/', scheme().size() + colon_slashes.size());
}

std::string_view Url::host() const {
    const std::size_t begin = scheme().size() + colon_slashes.size();
    return std::string_view(text_).substr(begin, path_begin() - begin);
}

std::string_view Url::path() const {
    const std::string_view rest = std::string_view(text_).substr(path_begin());
    return rest.substr(0, rest.find('?'));
}

std::filesystem::path Url::file() const {
    return decoded(path(), text_);
}

std::string_view Url::file_name() const {
    return path().substr(path().rfind('/') + 1);
}

Url Url::folder() const {
    return Url(text_.substr(0, path_begin() + path().rfind('/') + 1));
}

Url Url::without_query() const {
    return Url(text_.substr(0, path_begin() + path().size()));
}

Url Url::with_suffix(std::string_view suffix) const {
    const std::size_t end = path_begin() + path().size();
    return parse(text_.substr(0, end) + std::string(suffix) + text_.substr(end));
}

Url Url::resolve(std::string_view relative) const {
    std::size_t begin = 0;
    while (begin <= relative.size()) {
        const std::size_t end = std::min(relative.find('/', begin), relative.size());
        if (!is_plain_file_name(relative.substr(begin, end - begin))) {
            throw Error(ErrorCode::invalid,
                        fmt::format("'{}' is not a path below {}", shown(relative), shown(folder().text_)),
                        "such a path has plain names with slashes between them, without '..'");
        }
        begin = end + 1;
    }
    if (relative.substr(0, relative.find('/')).find(':') != std::string_view::npos) {
        throw Error(ErrorCode::invalid,
                    fmt::format("'{}' begins like a URL of a kind of its own", shown(relative)));
    }
    return parse(folder().text_ + std::string(relative));
}

bool Url::may_lead_to(const Url& next) const {
    if (scheme() == "file") {
        return true;
    }
    return next.scheme() == "https" || (next.scheme() == "http" && scheme() == "http");
}

bool is_plain_file_name(std::string_view name) {
    constexpr std::string_view others = "._~+:@=,-";
    return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
           std::ranges::all_of(name,
                               [&](char c) { return is_letter(c) || is_digit(c) || is_one_of(c, others); });
}

} // namespace capsul
