#include "lib/toml.hpp"

#include "lib/fd.hpp"

#include <fmt/format.h>
#include <sstream>
#include <toml++/toml.h>

namespace capsul {
namespace {

toml::table parse_table(std::string_view text, std::string_view file) {
    try {
        return toml::parse(text, file);
    } catch (const toml::parse_error& error) {
        const auto& begin = error.source().begin;
        throw Error(ErrorCode::invalid,
                    fmt::format("{}:{}:{}: {}", file, begin.line, begin.column, error.description()));
    }
}

Json node_to_json(const toml::node& node, std::string_view file) {
    if (const auto* table = node.as_table()) {
        Json object = Json::object();
        for (const auto& [key, value] : *table) {
            object[std::string(key.str())] = node_to_json(value, file);
        }
        return object;
    }
    if (const auto* array = node.as_array()) {
        Json list = Json::array();
        for (const auto& value : *array) {
            list.push_back(node_to_json(value, file));
        }
        return list;
    }
    if (const auto* text = node.as_string()) {
        return text->get();
    }
    if (const auto* number = node.as_integer()) {
        return number->get();
    }
    if (const auto* real = node.as_floating_point()) {
        return real->get();
    }
    if (const auto* flag = node.as_boolean()) {
        return flag->get();
    }
    throw Error(ErrorCode::invalid,
                fmt::format("{}:{}: dates and times stand in quotes here", file, node.source().begin.line));
}

toml::table object_to_table(const Json& json);
toml::array list_to_array(const Json& json);

/// Puts one JSON value into a table or at the end of an array, through `put`.
template <class Put>
void put_value(const Json& json, Put put) {
    switch (json.type()) {
    case Json::value_t::object:
        put(object_to_table(json));
        break;
    case Json::value_t::array:
        put(list_to_array(json));
        break;
    case Json::value_t::string:
        put(json.get<std::string>());
        break;
    case Json::value_t::boolean:
        put(json.get<bool>());
        break;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
        put(json.get<std::int64_t>());
        break;
    case Json::value_t::number_float:
        put(json.get<double>());
        break;
    default:
        break;
    }
}

toml::table object_to_table(const Json& json) {
    toml::table table;
    for (const auto& [key, item] : json.items()) {
        put_value(item, [&, &name = key](auto&& value) {
            table.insert(name, std::forward<decltype(value)>(value));
        });
    }
    return table;
}

toml::array list_to_array(const Json& json) {
    toml::array array;
    for (const Json& item : json) {
        put_value(item, [&](auto&& value) { array.push_back(std::forward<decltype(value)>(value)); });
    }
    return array;
}

} // namespace

Json toml_to_json(std::string_view text, std::string_view file) {
    return node_to_json(parse_table(text, file), file);
}

std::string toml_place(std::string_view text, std::string_view file, std::string_view key_path) {
    const toml::table table = parse_table(text, file);
    const auto node = table.at_path(key_path);
    if (key_path.empty() || !node) {
        return std::string(file);
    }
    return fmt::format("{}:{}", file, node.node()->source().begin.line);
}

std::string json_to_toml(const Json& json, std::string_view comment) {
    std::ostringstream out;
    if (!comment.empty()) {
        out << "# " << comment << "\n";
    }
    // toml++ sorts keys; writing the plain ones here keeps them in the order that people read.
    Json tables = Json::object();
    for (const auto& [key, item] : json.items()) {
        const bool is_table_array = item.is_array() && !item.empty() && item.front().is_object();
        if (item.is_object() || is_table_array) { // every key after it would be the table's
            tables[key] = item;
        } else if (!item.is_null()) {
            out << toml::toml_formatter(object_to_table(Json{{key, item}})) << "\n";
        }
    }
    for (const auto& [key, item] : tables.items()) {
        out << "\n" << toml::toml_formatter(object_to_table(Json{{key, item}})) << "\n";
    }
    return out.str();
}

namespace detail {

std::string read_toml_file(const std::filesystem::path& path) {
    return read_file(path, longest_toml);
}

void rethrow_at_place(const DecodeError& error, std::string_view text, const std::filesystem::path& path) {
    throw Error(error.code(), toml_place(text, path.string(), error.where()) + ": " + error.what(),
                error.hint());
}

} // namespace detail
} // namespace capsul
