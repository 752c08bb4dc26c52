// Where a call lives in the API: each call struct has a `route`, used by client and daemon alike.
#pragma once

#include "lib/json.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace capsul {

enum class Method { get, post, delete_ };

/// What comes back on success.
enum class Answer {
    value,     ///< 200 with the call's Result
    operation, ///< 202 with an Operation, whose `result` is the call's Result in the end
    stream,    ///< 200 with bytes or lines until done
    tunnel,    ///< 101: from then on a two-way byte stream
    upload,    ///< the request's body is a file's content; 200 with the call's Result
    download,  ///< 200 with a file's content, whose length is told first
};

/// A call's place: `path` has {fields} of the call in braces. The other fields go into the body of a POST
/// (JSON) and into the query string of GET, DELETE and uploads.
struct Route {
    Method method;
    const char* path;
    Answer answer;
};

/// A struct that is a call.
template <class T>
concept Call = Described<T> && requires {
    { T::route } -> std::convertible_to<Route>;
};

/// The request of a call: what the client sends.
struct RequestTarget {
    Method method;
    std::string target; ///< path and query, percent-encoded (RFC 3986)
    std::string body;   ///< JSON, or empty
};

/// Builds the request from a call's JSON form.
[[nodiscard]] RequestTarget make_target(const Route& route, const Json& call);

/// The values of the {fields} when `path` (without query) matches; nothing when it does not. Throws Error
/// (invalid) on bad percent-encoding.
[[nodiscard]] std::optional<Json> match_path(std::string_view pattern, std::string_view path);

/// A key and its values, decoded from a query string. Throws Error (invalid) on bad percent-encoding.
using Query = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] Query parse_query(std::string_view query);

/// Turns query values, which are all text, into the JSON types that the fields of T want, so that decode<T>
/// judges them: "true" for a bool field, digits for an integer, repeated keys for an array.
template <Described T>
[[nodiscard]] Json query_to_json(const Query& query);

namespace detail {
Json query_value(const std::string& text, bool is_bool, bool is_number);
void add_query_value(Json& object, const std::string& key, Json value, bool repeatable);

template <class T>
inline constexpr bool wants_bool = std::same_as<T, bool> || std::same_as<T, std::optional<bool>>;
template <class T>
inline constexpr bool wants_number = std::integral<T> || Numeric<T>;
template <class T>
inline constexpr bool wants_number<std::optional<T>> = wants_number<T>;
} // namespace detail

template <Described T>
Json query_to_json(const Query& query) {
    Json object = Json::object();
    for (const auto& pair : query) {
        const std::string& key = pair.first; // clang 14 captures no structured binding
        const std::string& text = pair.second;
        bool is_bool = false;
        bool is_number = false;
        bool repeatable = false;
        for_each_field<T>([&](const auto& field) {
            using Member = std::remove_cvref_t<decltype(std::declval<T>().*(field.member))>;
            if (key == field.key) {
                is_bool = detail::wants_bool<Member>;
                is_number = detail::wants_number<Member>;
                repeatable = detail::is_vector<Member>;
            }
        });
        detail::add_query_value(object, key, detail::query_value(text, is_bool, is_number), repeatable);
    }
    return object;
}

} // namespace capsul
