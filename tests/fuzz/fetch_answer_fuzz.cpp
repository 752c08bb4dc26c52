// Any bytes as what a server says before it sends anything, and as a keyring: nobody is sent into this host's
// files or off https, what is kept of a header is printable, and no range begins beyond its end.
#include "daemon/fetch/answer.hpp"
#include "daemon/fetch/gpgv_status.hpp"
#include "daemon/fetch/keyring.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace capsul;
using namespace capsul::fetch;

void expect(bool holds) {
    if (!holds) {
        std::abort();
    }
}

bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

/// The ellipsis is capsul's own: it stands for what is left out.
bool is_message(std::string text) {
    constexpr std::string_view ellipsis = "…";
    for (auto at = text.find(ellipsis); at != std::string::npos; at = text.find(ellipsis, at)) {
        text.erase(at, ellipsis.size());
    }
    return is_printable(text);
}

void follow(std::string_view location) {
    try {
        const Url to = redirection(Url::parse("https://a/"), location);
        expect(to.scheme() == "https" && Url::parse(to.to_string()) == to && is_printable(shown(to)));
    } catch (const Error& error) {
        expect(is_message(error.what()));
    }
}

void take_path(std::string_view text) {
    try {
        const Url url = Url::parse(text);
        expect(!url.is_file() || url.file() == url.file().lexically_normal());
        expect(!url.is_file() || url.file().is_absolute());
    } catch (const Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
}

void judge(std::string_view text) {
    try {
        (void)judge_signature(text, 0, text, {"x", "y"});
    } catch (const Error& error) {
        expect(is_message(error.what()));
    }
}

void take_keys(std::string_view text) {
    try {
        (void)without_armor(text);
    } catch (const Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto range = parse_content_range(text);
    expect(!range || !range->first || !range->total || *range->first < *range->total);
    expect(is_printable(plain_header(text)));
    (void)is_web_page_type(text);
    (void)begins_like_web_page(text);
    follow(text);
    take_path(text);
    judge(text);
    take_keys(text);
    return 0;
}
