#include "daemon/catalogue/listing.hpp"

#include "lib/error.hpp"
#include "lib/size.hpp"
#include "lib/url.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::size_t most_files = 10'000;
constexpr std::size_t longest_name = 255;

/// Takes all up to the next link off `text`; empty when there is none any more, or it is not as it should be.
bool take_link(std::string_view& text, std::string_view& link) {
    constexpr std::string_view attribute = "href=";
    const std::size_t begin = text.find(attribute);
    if (begin == std::string_view::npos || begin + attribute.size() == text.size()) {
        return false;
    }
    text.remove_prefix(begin + attribute.size());
    const char quote = text.front();
    link = {};
    if (quote == '"' || quote == '\'') {
        const std::size_t end = text.substr(1, longest_name + 3).find(quote);
        link = end == std::string_view::npos ? std::string_view() : text.substr(1, end);
    }
    return true;
}

} // namespace

std::set<std::string> parse_listing(std::string_view text) {
    if (text.size() > largest_listing) {
        throw Error(ErrorCode::invalid, fmt::format("it has more than {}", human_size(largest_listing)));
    }
    std::set<std::string> files;
    std::string_view link;
    while (take_link(text, link)) {
        if (link.starts_with("./")) {
            link.remove_prefix(2);
        }
        if (is_plain_file_name(link)) {
            files.insert(std::string(link));
        }
        if (files.size() > most_files) {
            throw Error(ErrorCode::invalid, fmt::format("it lists more than {} files", most_files));
        }
    }
    if (files.empty()) {
        throw Error(ErrorCode::invalid, "it lists no files");
    }
    return files;
}

} // namespace capsul
