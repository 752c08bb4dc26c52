#include "lib/size.hpp"

#include "lib/error.hpp"

#include <array>
#include <charconv>
#include <ctime>
#include <fmt/format.h>
#include <limits>
#include <optional>

namespace capsul {
namespace {

struct Unit {
    std::string_view word;
    std::uint64_t factor;
};

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t kb = 1000;
constexpr std::array<Unit, 14> byte_units{{
    {"", 1},
    {"B", 1},
    {"K", kib},
    {"KiB", kib},
    {"KB", kb},
    {"M", kib* kib},
    {"MiB", kib* kib},
    {"MB", kb* kb},
    {"G", kib* kib* kib},
    {"GiB", kib* kib* kib},
    {"GB", kb* kb* kb},
    {"T", kib* kib* kib* kib},
    {"TiB", kib* kib* kib* kib},
    {"TB", kb* kb* kb* kb},
}};
constexpr std::array<Unit, 5> time_units{
    {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}}};

constexpr std::chrono::milliseconds longest = std::chrono::days(30);
constexpr std::chrono::milliseconds oldest = std::chrono::days(36'500);

[[noreturn]] void refuse_size(std::string_view text, const char* why) {
    throw Error(ErrorCode::invalid, fmt::format("'{}' is not a valid size: {}", text.substr(0, 32), why),
                "write a whole number and a unit, such as 512M, 20G or 1T");
}

/// Takes a leading whole number off `text`; false when there is none or it overflows.
bool take_number(std::string_view& text, std::uint64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) {
        return false;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

const Unit* find_time_unit(std::string_view word) {
    for (const Unit& unit : time_units) {
        if (unit.word == word) {
            return &unit;
        }
    }
    return nullptr;
}

/// Numbers and units, a lone number being seconds; nothing for what is not that, is zero or longer than
/// `most`.
std::optional<std::chrono::milliseconds> read_time(std::string_view rest, std::chrono::milliseconds most) {
    const auto limit = static_cast<std::uint64_t>(most.count());
    std::uint64_t total = 0;
    while (!rest.empty()) {
        std::uint64_t number = 0;
        if (!take_number(rest, number)) {
            return std::nullopt;
        }
        const std::string_view word = rest.substr(0, rest.find_first_of("0123456789"));
        const bool bare_seconds = word.empty() && total == 0;
        const Unit* unit = find_time_unit(bare_seconds ? "s" : word);
        if (unit == nullptr || number > limit / unit->factor) {
            return std::nullopt;
        }
        total += number * unit->factor;
        rest.remove_prefix(word.size());
    }
    return total == 0 || total > limit ? std::nullopt : std::optional(std::chrono::milliseconds(total));
}

std::string time_text(std::chrono::milliseconds time) {
    const auto count = static_cast<std::uint64_t>(time.count());
    if (count % 1000 != 0) {
        return fmt::format("{}ms", count);
    }
    for (const std::string_view word : {"d", "h", "m"}) {
        const Unit* unit = find_time_unit(word);
        if (count >= unit->factor && count % unit->factor == 0) {
            return fmt::format("{}{}", count / unit->factor, word);
        }
    }
    return fmt::format("{}s", count / 1000);
}

} // namespace

Bytes Bytes::parse(std::string_view text) {
    std::string_view rest = text;
    std::uint64_t number = 0;
    if (!take_number(rest, number)) {
        refuse_size(text, "it does not begin with a whole number in range");
    }
    if (number == 0) {
        refuse_size(text, "it is zero");
    }
    for (const Unit& unit : byte_units) {
        if (unit.word == rest) {
            // QEMU and off_t are signed: half the range is the honest limit.
            if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / unit.factor) {
                refuse_size(text, "it is too large");
            }
            return Bytes(number * unit.factor);
        }
    }
    refuse_size(text, "the unit is unknown");
}

std::string Bytes::to_string() const {
    constexpr std::array<Unit, 4> exact{
        {{"T", kib * kib * kib * kib}, {"G", kib * kib * kib}, {"M", kib * kib}, {"K", kib}}};
    for (const Unit& unit : exact) {
        if (count_ >= unit.factor && count_ % unit.factor == 0) {
            return fmt::format("{}{}", count_ / unit.factor, unit.word);
        }
    }
    return std::to_string(count_);
}

std::string human_size(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> words{"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < words.size()) {
        value /= 1024;
        ++unit;
    }
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, words.at(unit));
}

Duration Duration::parse(std::string_view text) {
    const auto time = read_time(text, longest);
    if (!time) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not a valid duration", text.substr(0, 32)),
                    "write numbers and units up to 30 days, such as 90s, 5m or 1h30m");
    }
    return Duration(*time);
}

std::string Duration::to_string() const {
    return time_text(value_);
}

Age Age::parse(std::string_view text) {
    const bool has_unit = !text.empty() && text.back() > '9';
    const auto time = has_unit ? read_time(text, oldest) : std::nullopt;
    if (!time) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not a valid age", text.substr(0, 32)),
                    "write numbers and units up to a hundred years, such as 30d or 12h");
    }
    return Age(*time);
}

std::string Age::to_string() const {
    return time_text(value_);
}

Timestamp Timestamp::now() {
    return Timestamp(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
}

Timestamp Timestamp::parse(std::string_view text) {
    const std::string copy(text);
    std::tm parts{};
    const char* end = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end == nullptr || *end != '\0') {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not a time", text.substr(0, 32)),
                    "write it in UTC, such as 2026-11-22T03:37:03Z");
    }
    return Timestamp(std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts))));
}

std::string Timestamp::to_string() const {
    const std::time_t seconds = value_.time_since_epoch().count();
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return {text.data(), length};
}

} // namespace capsul
