#include "lib/catalogue.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::array<std::string_view, 5> debian_words{"amd64", "arm64", "riscv64", "ppc64el", "s390x"};

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}
bool is_letter(char c) {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](char c) { return lower(c); });
    return out;
}

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

Error bad_checksum(std::string_view text) {
    return {ErrorCode::invalid, fmt::format("'{}' is not a checksum", one_line(text, 40)),
            "write sha256: or sha512: and its 64 or 128 hexadecimal digits"};
}

} // namespace

std::string_view debian_word(Architecture architecture) {
    return debian_words.at(static_cast<std::size_t>(architecture));
}

std::optional<Architecture> find_architecture(std::string_view word) {
    for (const auto& [architecture, text] : EnumWords<Architecture>::words) {
        if (word == text || word == debian_word(architecture)) {
            return architecture;
        }
    }
    return std::nullopt;
}

Architecture host_architecture() {
#if defined(__aarch64__)
    return Architecture::aarch64;
#elif defined(__riscv)
    return Architecture::riscv64;
#elif defined(__powerpc64__)
    return Architecture::ppc64le;
#elif defined(__s390x__)
    return Architecture::s390x;
#else
    return Architecture::x86_64;
#endif
}

Checksum Checksum::of_hex(std::string_view digits) {
    constexpr std::string_view hexadecimal = "0123456789abcdef";
    const std::string hex = lower(digits);
    if ((hex.size() != 64 && hex.size() != 128) || hex.find_first_not_of(hexadecimal) != std::string::npos) {
        throw bad_checksum(digits);
    }
    return {hex.size() == 64 ? Algorithm::sha256 : Algorithm::sha512, hex};
}

Checksum Checksum::parse(std::string_view text) {
    constexpr std::size_t prefix = 7;
    const std::string_view word = text.substr(0, prefix);
    if (word != "sha256:" && word != "sha512:") {
        throw bad_checksum(text);
    }
    const Checksum checksum = of_hex(text.substr(prefix));
    if (!checksum.to_string().starts_with(word)) {
        throw bad_checksum(text);
    }
    return checksum;
}

std::string Checksum::to_string() const {
    return (algorithm_ == Algorithm::sha256 ? "sha256:" : "sha512:") + hex_;
}

ImageVersion ImageVersion::parse(std::string_view text) {
    constexpr std::string_view others = "._+-";
    const bool is_plain = std::ranges::all_of(text, [&](char c) {
        return is_letter(c) || is_digit(c) || others.find(c) != std::string_view::npos;
    });
    if (text.empty() || text.size() > 64 || !is_plain) {
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

Name catalogue_name(std::string_view words) {
    std::string text;
    for (const char c : words) {
        if (is_letter(c) || is_digit(c)) {
            text += lower(c);
        } else if (!text.empty() && text.back() != '-') {
            text += '-';
        }
    }
    while (text.ends_with('-')) {
        text.pop_back();
    }
    return Name::parse(text);
}

Name dated_name(const CatalogueEntry& entry) {
    const std::string text = entry.name.to_string() + "-" + entry.version.to_string();
    return catalogue_name(std::string_view(text).substr(0, 63));
}

std::string one_line(std::string_view text, std::size_t longest) {
    std::string out;
    for (const char c : text) {
        const bool is_control = static_cast<unsigned char>(c) < ' ' || c == '\x7f';
        const bool is_second_of_control = // U+0080 to U+009F in UTF-8
            out.ends_with('\xc2') && static_cast<unsigned char>(c) >= 0x80 &&
            static_cast<unsigned char>(c) < 0xa0;
        if (is_second_of_control) {
            out.back() = '?';
            continue;
        }
        out += is_control ? '?' : c;
    }
    if (out.size() <= longest) {
        return out;
    }
    std::size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0U) == 0x80U) {
        --end; // a character stays whole
    }
    return out.substr(0, end) + "…";
}

} // namespace capsul
