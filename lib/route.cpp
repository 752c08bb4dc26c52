#include "lib/route.hpp"

#include <charconv>
#include <fmt/format.h>

namespace capsul {
namespace {

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

std::string percent_encode(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (is_unreserved(c)) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

std::string percent_decode(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned value = 0;
        const char* digits = text.data() + i + 1;
        if (i + 2 >= text.size() || std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) {
            throw Error(ErrorCode::invalid, "the request's address has a bad percent-encoding");
        }
        out += static_cast<char>(value);
        i += 2;
    }
    return out;
}

std::string query_text(const Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
}

void append_query(std::string& query, const std::string& key, const Json& value) {
    if (value.is_null()) {
        return;
    }
    if (value.is_array()) {
        for (const Json& item : value) {
            append_query(query, key, item);
        }
        return;
    }
    query += (query.empty() ? "?" : "&") + percent_encode(key) + "=" + percent_encode(query_text(value));
}

/// Splits off the part before `separator` and drops both from `text`.
std::string_view take_until(std::string_view& text, char separator) {
    const auto end = text.find(separator);
    const std::string_view part = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    return part;
}

bool is_parameter(std::string_view segment) {
    return segment.starts_with('{') && segment.ends_with('}');
}

} // namespace

RequestTarget make_target(const Route& route, const Json& call) {
    Json rest = call;
    std::string path;
    std::string_view pattern = route.path;
    pattern.remove_prefix(1);
    while (!pattern.empty()) {
        const std::string_view segment = take_until(pattern, '/');
        path += '/';
        if (!is_parameter(segment)) {
            path += segment;
            continue;
        }
        const std::string key(segment.substr(1, segment.size() - 2));
        path += percent_encode(query_text(rest.at(key)));
        rest.erase(key);
    }
    if (route.method == Method::post && route.answer != Answer::upload) {
        return {route.method, path, dump_json(rest)};
    }
    std::string query;
    for (const auto& [key, value] : rest.items()) {
        append_query(query, key, value);
    }
    return {route.method, path + query, {}};
}

std::optional<Json> match_path(std::string_view pattern, std::string_view path) {
    Json parameters = Json::object();
    while (!pattern.empty() || !path.empty()) {
        const std::string_view wanted = take_until(pattern, '/');
        const std::string_view got = take_until(path, '/');
        if (is_parameter(wanted) && !got.empty()) {
            parameters[std::string(wanted.substr(1, wanted.size() - 2))] = percent_decode(got);
        } else if (wanted != got) {
            return std::nullopt;
        }
    }
    return parameters;
}

Query parse_query(std::string_view query) {
    Query pairs;
    while (!query.empty()) {
        std::string_view value = take_until(query, '&');
        const std::string_view key = take_until(value, '=');
        pairs.emplace_back(percent_decode(key), percent_decode(value));
    }
    return pairs;
}

namespace detail {

Json query_value(const std::string& text, bool is_bool, bool is_number) {
    if (is_bool && (text == "true" || text == "1" || text.empty())) {
        return true;
    }
    if (is_bool && (text == "false" || text == "0")) {
        return false;
    }
    std::int64_t number = 0;
    const char* end = text.data() + text.size();
    if (is_number && !text.empty() && std::from_chars(text.data(), end, number).ptr == end) {
        return number;
    }
    return text;
}

void add_query_value(Json& object, const std::string& key, Json value, bool repeatable) {
    if (repeatable) {
        object[key].push_back(std::move(value));
        return;
    }
    if (object.contains(key)) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is given twice in the query", key.substr(0, 64)));
    }
    object[key] = std::move(value);
}

} // namespace detail
} // namespace capsul
