#include "lib/json.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace capsul {
namespace detail {

void fail_type(std::string_view where, const char* wanted, const Json& got) {
    throw DecodeError(std::string(where), fmt::format("must be {}, not {}", wanted, got.type_name()));
}

std::string member_path(std::string_view where, std::string_view key) {
    return where.empty() ? std::string(key) : fmt::format("{}.{}", where, key);
}

std::string index_path(std::string_view where, std::size_t index) {
    return fmt::format("{}[{}]", where, index);
}

const std::string& string_at(const Json& json, std::string_view where) {
    if (!json.is_string()) {
        fail_type(where, "a string", json);
    }
    const auto& text = json.get_ref<const std::string&>();
    if (text.find('\0') != std::string::npos) {
        throw DecodeError(std::string(where), "must not hold a NUL");
    }
    return text;
}

std::int64_t integer_at(const Json& json, std::string_view where, std::int64_t low, std::uint64_t high) {
    if (!json.is_number_integer()) {
        fail_type(where, "a whole number", json);
    }
    // A positive number may be held as either: TOML's are all signed.
    const bool negative = !json.is_number_unsigned() && json.get<std::int64_t>() < 0;
    const bool above = !negative && json.get<std::uint64_t>() > high;
    const bool below = negative && json.get<std::int64_t>() < low;
    if (above || below) {
        throw DecodeError(std::string(where),
                          fmt::format("{} is not between {} and {}", json.dump(), low, high));
    }
    return json.get<std::int64_t>();
}

void refuse_unknown_keys(const Json& json, std::string_view where,
                         const std::vector<std::string_view>& known) {
    for (const auto& [key, value] : json.items()) {
        if (std::ranges::find(known, key) == known.end()) {
            throw DecodeError(member_path(where, key.substr(0, 64)), "unknown key",
                              known.empty() ? "there are no keys here"
                                            : fmt::format("known keys are {}", fmt::join(known, ", ")));
        }
    }
}

} // namespace detail

namespace {

/// Watches the parser for what the grammar allows and we do not, and leaves out what is not wanted.
class StrictWatch {
  public:
    explicit StrictWatch(const JsonFilter& filter) : filter_(filter) {}

    bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
        if (depth > filter_.max_depth) {
            throw Error(ErrorCode::invalid, fmt::format("JSON is nested deeper than {}", filter_.max_depth));
        }
        switch (event) {
        case Json::parse_event_t::object_start:
            // By depth, since the end of an object that is not wanted is not told.
            keys_.resize(static_cast<std::size_t>(depth) + 1);
            keys_.back().clear();
            return true;
        case Json::parse_event_t::key:
            return take_key(depth, parsed.get_ref<const std::string&>());
        case Json::parse_event_t::object_end:
            return !filter_.keeps_object || filter_.keeps_object(depth, parsed);
        default:
            return true;
        }
    }

  private:
    bool take_key(int depth, const std::string& key) {
        std::set<std::string>& keys = keys_.at(static_cast<std::size_t>(depth) - 1);
        // Json keeps its keys in a list: finding one among very many would let a small request cost a minute.
        if (keys.size() == filter_.max_keys) {
            throw Error(ErrorCode::invalid,
                        fmt::format("a JSON object has more than {} keys", filter_.max_keys));
        }
        if (!keys.insert(key).second) {
            throw Error(ErrorCode::invalid, "JSON key '" + key.substr(0, 64) + "' stands twice");
        }
        return !filter_.wants_key || filter_.wants_key(depth, key);
    }

    const JsonFilter& filter_;
    std::vector<std::set<std::string>> keys_;
};

} // namespace

Json parse_json(std::string_view text, int max_depth) {
    JsonFilter filter;
    filter.max_depth = max_depth;
    return parse_json(text, filter);
}

Json parse_json(std::string_view text, const JsonFilter& filter) {
    StrictWatch watch(filter);
    try {
        return Json::parse(text, std::ref(watch));
    } catch (const nlohmann::json::exception& error) {
        const std::string_view words = error.what();
        const auto start = words.find("] ");
        throw Error(ErrorCode::invalid, "not JSON: " + std::string(words.substr(
                                                           start == std::string_view::npos ? 0 : start + 2)));
    }
}

std::string dump_json(const Json& value, int indent) {
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

} // namespace capsul
