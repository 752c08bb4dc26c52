#include "lib/catalogue.hpp"

#include "lib/ascii.hpp"
#include "lib/error.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::array<std::string_view, 5> debian_words{"amd64", "arm64", "riscv64", "ppc64el", "s390x"};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}
std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](char c) { return lower(c); });
    return out;
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
    constexpr std::size_t longest = 63;
    const std::string version = "-" + entry.version.to_string(); // it is what tells one from another
    const std::size_t room = longest - std::min(version.size(), longest / 2);
    const std::string text = entry.name.to_string().substr(0, room) + version;
    return catalogue_name(std::string_view(text).substr(0, longest));
}

} // namespace capsul
