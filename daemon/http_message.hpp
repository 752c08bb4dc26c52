// HTTP heads and whole answers as values: what a request asks for, what an answer says. Knows no socket.
#pragma once

#include "daemon/router.hpp"
#include "lib/operation.hpp"

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <optional>

namespace capsul {

namespace http = boost::beast::http;

using RequestHead = http::header<true>;
using Message = http::response<http::string_body>;
using ResponseHead = http::response<http::empty_body>;

/// What a request's head asks for, judged before its body is read.
struct Asked {
    Request request; ///< without the body
    Answer answer = Answer::value;
    std::optional<Message> refusal;
};

/// Never throws for what a client sends: that becomes the refusal.
[[nodiscard]] Asked read_head(const RequestHead& head, const Router& router);

/// The client waits for a word before it sends the body (RFC 9110 10.1.1).
[[nodiscard]] bool expects_continue(const RequestHead& head);

[[nodiscard]] Message problem_message(const Problem& problem);
[[nodiscard]] Message json_message(const JsonResponse& response);
/// What a message says that Beast's parser refuses.
[[nodiscard]] Message parse_failure_message(const boost::system::error_code& failure, std::uint64_t max_body);
[[nodiscard]] Message body_too_large_message(std::uint64_t max_body);

[[nodiscard]] ResponseHead continue_head();
[[nodiscard]] ResponseHead stream_head(const std::string& content_type);
[[nodiscard]] ResponseHead download_head(std::uint64_t size);
[[nodiscard]] ResponseHead tunnel_head();

} // namespace capsul
