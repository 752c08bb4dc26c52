#include "lib/name.hpp"

#include "lib/ascii.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <random>

namespace capsul {
namespace {

bool is_printable(char c) {
    return c >= ' ' && c <= '~';
}

/// The text as an error may show it: short, no control characters.
std::string shown(std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 40)) {
        out += is_printable(c) ? c : '?';
    }
    return out + (text.size() > 40 ? "…" : "");
}

[[noreturn]] void refuse(std::string_view text, const char* rule) {
    throw Error(ErrorCode::invalid, fmt::format("'{}' is not a valid name: {}", shown(text), rule),
                "a name is up to 63 lower-case letters, digits and hyphens, beginning with a letter");
}

// Words that would be read as something else somewhere.
constexpr std::array<std::string_view, 4> reserved{"default", "capsul", "localhost", "all"};

constexpr std::array<std::string_view, 24> adjectives{"amber",  "bold",  "brave", "bright", "brisk", "calm",
                                                      "clear",  "crisp", "eager", "fair",   "fleet", "fond",
                                                      "gentle", "glad",  "jolly", "keen",   "kind",  "light",
                                                      "merry",  "neat",  "proud", "quick",  "sharp", "warm"};
constexpr std::array<std::string_view, 24> animals{"badger", "bison", "crane", "curlew", "dove",  "eagle",
                                                   "falcon", "finch", "fox",   "gecko",  "hare",  "heron",
                                                   "ibis",   "lark",  "lynx",  "marten", "newt",  "otter",
                                                   "owl",    "raven", "robin", "seal",   "stoat", "wren"};

} // namespace

Name Name::parse(std::string_view text) {
    if (text.empty()) {
        refuse(text, "it is empty");
    }
    if (text.size() > 63) {
        refuse(text, "it is longer than 63");
    }
    if (!is_lower(text.front())) {
        refuse(text, "it does not begin with a letter from a to z");
    }
    if (!std::ranges::all_of(text, [](char c) { return is_lower(c) || is_digit(c) || c == '-'; })) {
        refuse(text, "it has a character other than a-z, 0-9 and -");
    }
    if (text.back() == '-') {
        refuse(text, "it ends in a hyphen");
    }
    if (std::ranges::find(reserved, text) != reserved.end()) {
        refuse(text, "it is reserved");
    }
    return Name(std::string(text));
}

Name made_up_name() {
    std::random_device random;
    return Name::parse(fmt::format("{}-{}-{:03}", adjectives.at(random() % adjectives.size()),
                                   animals.at(random() % animals.size()), random() % 1000));
}

std::optional<Name> name_in_unit(std::string_view unit, std::string_view prefix) {
    constexpr std::string_view suffix = ".service";
    if (!unit.starts_with(prefix) || !unit.ends_with(suffix) ||
        unit.size() <= prefix.size() + suffix.size()) {
        return std::nullopt;
    }
    try {
        return Name::parse(unit.substr(prefix.size(), unit.size() - prefix.size() - suffix.size()));
    } catch (const Error&) {
        return std::nullopt;
    }
}

void check_label(std::string_view key, std::string_view value) {
    const bool key_ok = !key.empty() && key.size() <= 63 && std::ranges::all_of(key, is_printable) &&
                        key.find_first_of("=, ") == std::string_view::npos;
    if (!key_ok) {
        throw Error(
            ErrorCode::invalid, fmt::format("'{}' is not a valid label key", shown(key)),
            "a label is KEY=VALUE; the key is 1 to 63 printable characters without '=', ',' and space");
    }
    if (value.size() > 255 || !std::ranges::all_of(value, is_printable)) {
        throw Error(ErrorCode::invalid, fmt::format("the value of label '{}' is not valid", key),
                    "a label's value is up to 255 printable ASCII characters");
    }
}

} // namespace capsul
