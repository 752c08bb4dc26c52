// One definition of a struct serves the wire (JSON), the disk (TOML) and the query string: a list of its
// fields.
//
//     struct VmStop {
//         Name name;
//         std::optional<Duration> timeout;
//         static constexpr auto fields() {
//             return field_list(required("name", &VmStop::name), optional("timeout", &VmStop::timeout));
//         }
//     };
#pragma once

#include <nlohmann/json.hpp>

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

/// A list of fields, each of a type of its own. Not a std::tuple, whose constructors cost the compiler a
/// second for every file that knows all nouns.
struct NoFields {};
template <class First, class Rest>
struct FieldList {
    First first;
    Rest rest;
};

constexpr NoFields field_list() {
    return {};
}

/// Of fields; instead of one, the list of a base class may stand.
template <class First, class... Others>
constexpr auto field_list(First first, Others... others) {
    return FieldList<First, decltype(field_list(others...))>{first, field_list(others...)};
}

template <class Visit>
constexpr void visit_fields(NoFields, Visit&) {}

template <class Struct, class Member, class Visit>
constexpr void visit_fields(const Field<Struct, Member>& field, Visit& visit) {
    visit(field);
}

template <class First, class Rest, class Visit>
constexpr void visit_fields(const FieldList<First, Rest>& list, Visit& visit) {
    visit_fields(list.first, visit);
    visit_fields(list.rest, visit);
}

/// A struct that lists its fields.
template <class T>
concept Described = requires {
    T::fields();
};

/// Calls `visit(field)` for each field of T, in order.
template <Described T, class Visit>
constexpr void for_each_field(Visit&& visit) {
    visit_fields(T::fields(), visit);
}

} // namespace capsul
