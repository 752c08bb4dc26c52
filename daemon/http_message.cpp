#include "daemon/http_message.hpp"

#include "daemon/problem.hpp"

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr const char* tunnel_protocol = "capsul-stream";

std::optional<Method> method_of(http::verb verb) {
    switch (verb) {
    case http::verb::get:
        return Method::get;
    case http::verb::post:
        return Method::post;
    case http::verb::delete_:
        return Method::delete_;
    default:
        return std::nullopt;
    }
}

std::string_view word_of(Method method) {
    switch (method) {
    case Method::get:
        return "GET";
    case Method::post:
        return "POST";
    case Method::delete_:
        return "DELETE";
    }
    return {};
}

Message refusal(ErrorCode code, const std::string& message, const std::string& hint = {}) {
    return problem_message(Problem::from(Error(code, message, hint)));
}

/// With a status that no ErrorCode has.
Message refusal_as(http::status status, const std::string& message) {
    Problem problem = Problem::from(Error(ErrorCode::invalid, message));
    problem.status = static_cast<unsigned>(status);
    return problem_message(problem);
}

Message no_such_route(const Router& router, const Request& request) {
    std::string allowed;
    for (const Method method : router.methods(request.path)) {
        allowed += fmt::format("{}{}", allowed.empty() ? "" : ", ", word_of(method));
    }
    if (allowed.empty()) {
        return refusal(ErrorCode::not_found, "there is no such address in the API");
    }
    Message message = refusal_as(http::status::method_not_allowed, "this address takes only " + allowed);
    message.set(http::field::allow, allowed);
    return message;
}

bool wants_tunnel(const RequestHead& head) {
    return http::token_list(head[http::field::connection]).exists("upgrade") &&
           boost::beast::iequals(head[http::field::upgrade], tunnel_protocol);
}

Message upgrade_needed() {
    Message message =
        refusal_as(http::status::upgrade_required,
                   fmt::format("this address is a two-way stream: send 'Connection: Upgrade' and "
                               "'Upgrade: {}'",
                               tunnel_protocol));
    message.set(http::field::upgrade, tunnel_protocol);
    message.set(http::field::connection, "Upgrade");
    return message;
}

/// Sets `asked.answer`; returns why the request cannot be answered, if it cannot.
std::optional<Message> judge(const RequestHead& head, const Router& router, Asked& asked) {
    if (head.version() != 11) {
        return refusal(ErrorCode::invalid, "only HTTP/1.1 is spoken here");
    }
    if (head.count(http::field::origin) > 0) {
        return refusal(ErrorCode::denied, "web pages may not use this API");
    }
    const std::optional<Method> method = method_of(head.method());
    const Route* route = method ? router.find(*method, asked.request.path) : nullptr;
    if (route == nullptr) {
        return no_such_route(router, asked.request);
    }
    asked.request.method = *method;
    asked.answer = route->answer;
    if (route->answer == Answer::tunnel && !wants_tunnel(head)) {
        return upgrade_needed();
    }
    return std::nullopt;
}

ResponseHead head_of(http::status status) {
    return {status, 11};
}

} // namespace

Asked read_head(const RequestHead& head, const Router& router) {
    const std::string_view target(head.target().data(), head.target().size());
    const auto mark = target.find('?');
    Asked asked;
    asked.request.path = target.substr(0, mark);
    asked.request.query = mark == std::string_view::npos ? "" : target.substr(mark + 1);
    try {
        asked.refusal = judge(head, router, asked);
    } catch (...) {
        asked.refusal = problem_message(problem_of_current_exception("request head"));
    }
    if (asked.refusal && head.method() == http::verb::head) {
        asked.refusal->body().clear(); // RFC 9110 9.3.2: its length is told, itself not sent
    }
    return asked;
}

bool expects_continue(const RequestHead& head) {
    return boost::beast::iequals(head[http::field::expect], "100-continue");
}

Message problem_message(const Problem& problem) {
    Message message(http::int_to_status(problem.status), 11, dump_json(encode(problem)) + "\n");
    message.set(http::field::content_type, "application/problem+json");
    message.prepare_payload();
    return message;
}

Message json_message(const JsonResponse& response) {
    Message message(http::int_to_status(response.status), 11, dump_json(response.body) + "\n");
    message.set(http::field::content_type, "application/json");
    if (response.status == static_cast<unsigned>(http::status::accepted)) {
        message.set(http::field::location, "/v1/operations/" + response.body.at("id").get<std::string>());
    }
    message.prepare_payload();
    return message;
}

Message parse_failure_message(const boost::system::error_code& failure, std::uint64_t max_body) {
    if (failure == http::error::header_limit) {
        return refusal_as(http::status::request_header_fields_too_large, "the request's head is too long");
    }
    if (failure == http::error::body_limit) {
        return body_too_large_message(max_body);
    }
    return refusal(ErrorCode::invalid, "not a valid HTTP/1.1 request: " + failure.message());
}

Message body_too_large_message(std::uint64_t max_body) {
    return refusal(ErrorCode::too_large, fmt::format("the request's body is longer than {} bytes", max_body));
}

ResponseHead continue_head() {
    return head_of(http::status::continue_);
}

ResponseHead stream_head(const std::string& content_type) {
    ResponseHead head = head_of(http::status::ok);
    head.set(http::field::content_type, content_type);
    head.chunked(true);
    return head;
}

ResponseHead download_head(std::uint64_t size) {
    ResponseHead head = head_of(http::status::ok);
    head.set(http::field::content_type, "application/octet-stream");
    head.content_length(size);
    return head;
}

ResponseHead tunnel_head() {
    ResponseHead head = head_of(http::status::switching_protocols);
    head.set(http::field::connection, "Upgrade");
    head.set(http::field::upgrade, tunnel_protocol);
    return head;
}

} // namespace capsul
