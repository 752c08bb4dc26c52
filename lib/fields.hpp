// One definition of a struct serves the wire (JSON), the disk (TOML) and the query string: a list of its
// fields.
//
//     struct VmStop {
//         Name name;
//         std::optional<Duration> timeout;
//         static constexpr auto fields() {
//             return std::tuple{required("name", &VmStop::name), optional("timeout", &VmStop::timeout)};
//         }
//     };
#pragma once

#include <nlohmann/json.hpp>
#include <tuple>

namespace capsul {

/// Keeps the order in which keys are set: what a struct lists first is printed first.
using Json = nlohmann::ordered_json;

template <class Struct, class Member>
struct Field {
    const char* key;
    Member Struct::*member;
    bool required;
};

/// A field that must be present.
template <class Struct, class Member>
constexpr Field<Struct, Member> required(const char* key, Member Struct::*member) {
    return {key, member, true};
}

/// A field that keeps its default when absent.
template <class Struct, class Member>
constexpr Field<Struct, Member> optional(const char* key, Member Struct::*member) {
    return {key, member, false};
}

/// A struct that lists its fields.
template <class T>
concept Described = requires {
    T::fields();
};

/// Calls `visit(field)` for each field of T, in order.
template <Described T, class Visit>
constexpr void for_each_field(Visit&& visit) {
    std::apply([&](const auto&... field) { (visit(field), ...); }, T::fields());
}

} // namespace capsul
