#include "lib/source_url.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::size_t longest = 2048;

[[noreturn]] void refuse(std::string_view text, const char* why) {
    // A password has no place in a message; what is before the first sign is enough to know the URL by.
    std::string shown(text.substr(0, std::min(text.find_first_of("@?#"), std::size_t{100})));
    std::ranges::replace_if(
        shown, [](char c) { return c <= ' ' || c > '~'; }, '?');
    throw Error(ErrorCode::invalid, fmt::format("'{}' is not a URL to download from: {}", shown, why),
                "give one such as https://example.org/disk.qcow2 or file:///srv/disk.qcow2");
}

bool is_allowed(char c) {
    return c > ' ' && c <= '~' && std::string_view(R"("<>\^`{|})").find(c) == std::string_view::npos;
}

/// -1 for what is no hexadecimal digit.
int byte_of_hex(std::string_view digits) {
    int value = -1;
    const char* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, value, 16);
    return digits.size() == 2 && error == std::errc() && rest == end ? value : -1;
}

/// The text without its percent-encoding; empty when that is wrong.
std::string decoded(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            plain += text[i];
            continue;
        }
        const int byte = byte_of_hex(text.substr(i + 1, 2));
        if (byte < 0) {
            return {};
        }
        plain += static_cast<char>(byte);
        i += 2;
    }
    return plain;
}

void check_file(std::string_view text, std::string_view rest) {
    if (!rest.starts_with('/')) {
        refuse(text, "a file: URL has three slashes and an absolute path");
    }
    if (rest.find('?') != std::string_view::npos) {
        refuse(text, "a '?' in the name of a file is written %3F");
    }
    const std::filesystem::path path = decoded(rest);
    if (path.empty() || path.native().find('\0') != std::string::npos) {
        refuse(text, "its percent-encoding is wrong");
    }
    if (path.native() != path.lexically_normal().native() || !path.has_filename()) {
        refuse(text, "its path is not that of a file, written plainly");
    }
}

void check_host(std::string_view text, std::string_view rest) {
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    if (authority.find('@') != std::string_view::npos) {
        refuse(text, "a user name or a password is not supported");
    }
    if (authority.empty() || authority.starts_with(':')) {
        refuse(text, "it names no host");
    }
}

} // namespace

SourceUrl SourceUrl::parse(std::string_view text) {
    if (text.size() > longest) {
        refuse(text, "it is longer than 2048 characters");
    }
    if (!std::ranges::all_of(text, is_allowed)) {
        refuse(text, "it has a character that is percent-encoded in a URL, such as a space as %20");
    }
    if (text.find('#') != std::string_view::npos) {
        refuse(text, "it has a fragment (what follows a #)");
    }
    if (text.starts_with("file://")) {
        check_file(text, text.substr(std::string_view("file://").size()));
    } else if (text.starts_with("https://") || text.starts_with("http://")) {
        check_host(text, text.substr(text.find("//") + 2));
    } else {
        refuse(text, "it does not begin with https://, http:// or file://");
    }
    return SourceUrl(std::string(text));
}

std::filesystem::path SourceUrl::path() const {
    return decoded(std::string_view(text_).substr(std::string_view("file://").size()));
}

} // namespace capsul
