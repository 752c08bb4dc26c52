#include "daemon/router.hpp"

#include <algorithm>

namespace capsul {
namespace {

bool takes_json_body(const Route& route) {
    return route.method == Method::post && route.answer != Answer::upload;
}

Json body_of(const Request& request) {
    if (!request.query.empty()) {
        throw Error(ErrorCode::invalid, request.path + ": takes a JSON body, no query");
    }
    Json body = request.body.empty() ? Json::object() : parse_json(request.body);
    if (!body.is_object()) {
        throw Error(ErrorCode::invalid, request.path + ": the body must be a JSON object");
    }
    return body;
}

/// The path's fields and the rest as one object; a field has one place only.
Json join(Json from_path, const Json& rest) {
    for (const auto& [key, value] : rest.items()) {
        if (from_path.contains(key)) {
            throw Error(ErrorCode::invalid, "'" + key + "' belongs in the path, nowhere else");
        }
        from_path[key] = value;
    }
    return from_path;
}

} // namespace

const Router::Entry* Router::entry(Method method, std::string_view path) const {
    const auto found = std::ranges::find_if(entries_, [&](const Entry& entry) {
        return entry.route.method == method && match_path(entry.route.path, path).has_value();
    });
    return found == entries_.end() ? nullptr : &*found;
}

const Route* Router::find(Method method, std::string_view path) const {
    const Entry* found = entry(method, path);
    return found == nullptr ? nullptr : &found->route;
}

std::vector<Method> Router::methods(std::string_view path) const {
    std::vector<Method> methods;
    for (const Method method : {Method::get, Method::post, Method::delete_}) {
        if (entry(method, path) != nullptr) {
            methods.push_back(method);
        }
    }
    return methods;
}

Response Router::handle(const Request& request) const {
    const Entry* found = entry(request.method, request.path);
    if (found == nullptr && methods(request.path).empty()) {
        throw Error(ErrorCode::not_found, "there is no such address in the API");
    }
    if (found == nullptr) {
        throw Error(ErrorCode::invalid, request.path + ": has no such method");
    }
    const bool json_body = takes_json_body(found->route);
    if (!json_body && !request.body.empty()) {
        throw Error(ErrorCode::invalid, request.path + ": takes no body");
    }
    Json from_path = match_path(found->route.path, request.path).value();
    return found->handle(
        join(std::move(from_path), json_body ? body_of(request) : found->read_query(request.query)));
}

} // namespace capsul
