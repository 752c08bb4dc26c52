// Values to JSON and back, strictly: an unknown key, a wrong type or a number out of range is an Error that
// names the place, such as "publish[1].host_port: 70000 is not between 1 and 65535".
#pragma once

#include "lib/error.hpp"
#include "lib/fields.hpp"

#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace capsul {

/// A checked value with a textual form, such as Name or Bytes: parse throws Error.
template <class T>
concept Textual = requires(const T& value, std::string_view text) {
    { T::parse(text) } -> std::same_as<T>;
    { value.to_string() } -> std::convertible_to<std::string>;
};

/// A checked value whose form is a number, such as CpuCount: from_number throws Error.
template <class T>
concept Numeric = requires(const T& value, typename T::Number number) {
    { T::from_number(number) } -> std::same_as<T>;
    { value.number() } -> std::same_as<typename T::Number>;
};

/// The words of an enum: specialise with `static constexpr std::array<std::pair<E, std::string_view>, N>
/// words`.
template <class E>
struct EnumWords;

template <class E>
concept WordedEnum = std::is_enum_v<E> && requires {
    EnumWords<E>::words;
};

template <WordedEnum E>
[[nodiscard]] constexpr std::string_view to_string(E value) {
    for (const auto& [entry, word] : EnumWords<E>::words) {
        if (entry == value) {
            return word;
        }
    }
    return {};
}

/// The value of a word; throws Error (invalid) that lists the words there are.
template <WordedEnum E>
[[nodiscard]] E enum_from(std::string_view word) {
    std::string known;
    for (const auto& [entry, text] : EnumWords<E>::words) {
        if (text == word) {
            return entry;
        }
        known += (known.empty() ? "" : ", ") + std::string(text);
    }
    throw Error(ErrorCode::invalid, "'" + std::string(word.substr(0, 64)) + "' is not one of " + known);
}

/// JSON text to a value: at most `max_depth` nested, no key twice, nothing after the end. Throws Error
/// (invalid).
[[nodiscard]] Json parse_json(std::string_view text, int max_depth = 32);

/// What is taken of a large document. The document itself is at depth 0; its keys are at depth 1.
struct JsonFilter {
    int max_depth = 32;
    std::size_t max_keys = 1024; ///< of one object
    /// Whether the value of a key is wanted: called before it is read.
    std::function<bool(int depth, std::string_view key)> wants_key;
    /// Whether an object stays, once it is read; the keys around it are at its depth.
    std::function<bool(int depth, const Json& object)> keeps_object;
};

/// The same of a document of which only little is wanted: the rest costs no memory.
[[nodiscard]] Json parse_json(std::string_view text, const JsonFilter& filter);

/// JSON text that is safe to send whatever bytes the strings hold (invalid UTF-8 is replaced).
[[nodiscard]] std::string dump_json(const Json& value, int indent = -1);

/// A value that does not fit, and where in the document it stands ("publish[1]"; empty for the document
/// itself).
class DecodeError : public Error {
  public:
    DecodeError(std::string where, const std::string& what, std::string hint = {})
        : Error(ErrorCode::invalid, where.empty() ? what : where + ": " + what, std::move(hint)),
          where_(std::move(where)) {}
    [[nodiscard]] const std::string& where() const noexcept { return where_; }

  private:
    std::string where_;
};

namespace detail {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_map = false;
template <class T>
inline constexpr bool is_map<std::map<std::string, T>> = true;

[[noreturn]] void fail_type(std::string_view where, const char* wanted, const Json& got);
std::string member_path(std::string_view where, std::string_view key);
std::string index_path(std::string_view where, std::size_t index);
const std::string& string_at(const Json& json, std::string_view where);
std::int64_t integer_at(const Json& json, std::string_view where, std::int64_t low, std::uint64_t high);
void refuse_unknown_keys(const Json& json, std::string_view where,
                         const std::vector<std::string_view>& known);

} // namespace detail

/// The JSON form of a value. An empty optional is null.
template <class T>
[[nodiscard]] Json encode(const T& value) {
    if constexpr (std::same_as<T, Json>) {
        return value;
    } else if constexpr (Textual<T>) {
        return value.to_string();
    } else if constexpr (Numeric<T>) {
        return value.number();
    } else if constexpr (WordedEnum<T>) {
        return std::string(to_string(value));
    } else if constexpr (detail::is_optional<T>) {
        return value ? encode(*value) : Json(nullptr);
    } else if constexpr (detail::is_vector<T>) {
        Json array = Json::array();
        for (const auto& item : value) {
            array.push_back(encode(item));
        }
        return array;
    } else if constexpr (detail::is_map<T>) {
        Json object = Json::object();
        for (const auto& [key, item] : value) {
            object[key] = encode(item);
        }
        return object;
    } else if constexpr (Described<T>) {
        Json object = Json::object();
        for_each_field<T>([&](const auto& field) { object[field.key] = encode(value.*(field.member)); });
        return object;
    } else {
        return Json(value);
    }
}

/// The value of a JSON form; `where` is the path that errors name.
template <class T>
[[nodiscard]] T decode(const Json& json, std::string_view where = {});

namespace detail {

template <class T>
T decode_described(const Json& json, std::string_view where) {
    if (!json.is_object()) {
        fail_type(where, "an object", json);
    }
    T value{};
    std::vector<std::string_view> known;
    for_each_field<T>([&](const auto& field) {
        known.push_back(field.key);
        const auto found = json.find(field.key);
        if (found == json.end()) {
            if (field.required) {
                throw DecodeError(std::string(where), std::string("'") + field.key + "' is missing");
            }
            return;
        }
        using Member = std::remove_cvref_t<decltype(value.*(field.member))>;
        value.*(field.member) = decode<Member>(*found, member_path(where, field.key));
    });
    refuse_unknown_keys(json, where, known);
    return value;
}

/// Textual, Numeric or an enum.
template <class T>
T decode_checked(const Json& json, std::string_view where) {
    try {
        if constexpr (WordedEnum<T>) {
            return enum_from<T>(string_at(json, {}));
        } else if constexpr (Numeric<T>) {
            return T::from_number(decode<typename T::Number>(json));
        } else {
            return T::parse(string_at(json, {}));
        }
    } catch (const Error& error) {
        throw DecodeError(std::string(where), error.what(), error.hint());
    }
}

template <class T>
T decode_vector(const Json& json, std::string_view where) {
    if (!json.is_array()) {
        fail_type(where, "an array", json);
    }
    T items;
    for (std::size_t i = 0; i < json.size(); ++i) {
        items.push_back(decode<typename T::value_type>(json[i], index_path(where, i)));
    }
    return items;
}

template <class T>
T decode_map(const Json& json, std::string_view where) {
    if (!json.is_object()) {
        fail_type(where, "an object", json);
    }
    T map;
    for (const auto& [key, item] : json.items()) {
        map.emplace(key, decode<typename T::mapped_type>(item, member_path(where, key)));
    }
    return map;
}

} // namespace detail

template <class T>
T decode(const Json& json, std::string_view where) {
    if constexpr (std::same_as<T, Json>) {
        return json;
    } else if constexpr (Textual<T> || Numeric<T> || WordedEnum<T>) {
        return detail::decode_checked<T>(json, where);
    } else if constexpr (std::same_as<T, bool>) {
        return json.is_boolean() ? json.get<bool>()
                                 : (detail::fail_type(where, "true or false", json), false);
    } else if constexpr (std::same_as<T, std::string>) {
        return detail::string_at(json, where);
    } else if constexpr (std::integral<T>) {
        return static_cast<T>(
            detail::integer_at(json, where, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
    } else if constexpr (std::floating_point<T>) {
        return json.is_number() ? json.get<T>() : (detail::fail_type(where, "a number", json), T{});
    } else if constexpr (detail::is_optional<T>) {
        return json.is_null() ? T{} : T{decode<typename T::value_type>(json, where)};
    } else if constexpr (detail::is_vector<T>) {
        return detail::decode_vector<T>(json, where);
    } else if constexpr (detail::is_map<T>) {
        return detail::decode_map<T>(json, where);
    } else {
        return detail::decode_described<T>(json, where);
    }
}

/// JSON text to a checked value: what a request body goes through.
template <class T>
[[nodiscard]] T parse(std::string_view text) {
    return decode<T>(parse_json(text));
}

} // namespace capsul
