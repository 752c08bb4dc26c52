#include "lib/image_version.hpp"

#include "lib/ascii.hpp"
#include "lib/error.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

/// Takes the digits that `text` begins with off it, without the zeros before them.
std::string_view take_number(std::string_view& text) {
    const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
    const std::string_view digits = text.substr(0, end);
    text.remove_prefix(end);
    return digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
}

std::strong_ordering compare_numbers(std::string_view a, std::string_view b) {
    return a.size() != b.size() ? a.size() <=> b.size() : a <=> b;
}

std::strong_ordering compare_naturally(std::string_view a, std::string_view b) {
    while (!a.empty() && !b.empty()) {
        if (is_digit(a.front()) && is_digit(b.front())) {
            const auto order = compare_numbers(take_number(a), take_number(b));
            if (order != 0) {
                return order;
            }
        } else if (a.front() != b.front()) {
            return a.front() <=> b.front();
        } else {
            a.remove_prefix(1);
            b.remove_prefix(1);
        }
    }
    return a.size() <=> b.size();
}

} // namespace

ImageVersion ImageVersion::parse(std::string_view text) {
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-";
    if (text.empty() || text.size() > 64 || text.find_first_not_of(allowed) != std::string_view::npos) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not a version", one_line(text, 40)),
                    "a version is 1 to 64 letters, digits and the characters . _ + -");
    }
    return ImageVersion(std::string(text));
}

ImageVersion ImageVersion::of_day(const Timestamp& moment) {
    std::string day = moment.to_string().substr(0, std::string_view("2026-11-22").size());
    std::erase(day, '-');
    return parse(day);
}

std::strong_ordering ImageVersion::operator<=>(const ImageVersion& other) const {
    const auto order = compare_naturally(text_, other.text_);
    return order != 0 ? order : text_ <=> other.text_; // "1.01" and "1.1" are not the same
}

} // namespace capsul
