// From a request to the function that answers it. Knows no socket.
#pragma once

#include "lib/fd.hpp"
#include "lib/route.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace capsul {

struct Request {
    Method method = Method::get;
    std::string path;  ///< without the query
    std::string query; ///< percent-encoded, without "?"
    std::string body;
};

/// 200 or 202 with a JSON body.
struct JsonResponse {
    unsigned status = 200;
    Json body;
};

/// 200 with what `source` gives until its end; `owner` is kept until then or until the client is gone.
struct StreamResponse {
    std::string content_type;
    UniqueFd source;
    std::shared_ptr<void> owner;
};

/// 101; bytes go both ways between the client and `peer` until either ends.
struct TunnelResponse {
    UniqueFd peer; ///< a connected stream socket
    std::shared_ptr<void> owner;
};

/// A request whose body is a file: `write` gets it piece by piece, `finish` gives the answer. When the client
/// goes away or `write` throws, both are dropped, and what they own cleans up.
struct UploadResponse {
    std::function<void(std::string_view)> write;
    std::function<Json()> finish;
};

/// 200 with a file's content, of `size` bytes: `read` fills the piece that it is given, as much of it as
/// there is, until all has come. When the client goes away or `read` throws, it is dropped, and what it owns
/// cleans up.
struct DownloadResponse {
    std::uint64_t size = 0;
    std::function<std::size_t(std::span<char>)> read;
};

using Response = std::variant<JsonResponse, StreamResponse, TunnelResponse, UploadResponse, DownloadResponse>;

class Router {
  public:
    /// Handlers, by the answer that the route of C promises:
    ///   value      Result   handle(const C&)
    ///   operation  Operation handle(const C&)
    ///   stream     StreamResponse handle(const C&)
    ///   tunnel     TunnelResponse handle(const C&)
    ///   upload     UploadResponse handle(const C&)
    ///   download   DownloadResponse handle(const C&)
    template <Call C, class Handler>
    void add(Handler handler) {
        entries_.push_back({C::route,
                            [handler = std::move(handler)](const Json& call) -> Response {
                                const auto checked = decode<C>(call);
                                if constexpr (C::route.answer == Answer::value) {
                                    return JsonResponse{200, encode(handler(checked))};
                                } else if constexpr (C::route.answer == Answer::operation) {
                                    return JsonResponse{202, encode(handler(checked))};
                                } else {
                                    return handler(checked);
                                }
                            },
                            [](const std::string& query) { return query_to_json<C>(parse_query(query)); }});
    }

    /// How the request will be answered, before its body is read; nothing when no route matches.
    [[nodiscard]] const Route* find(Method method, std::string_view path) const;
    /// The methods that `path` has; none when no route matches.
    [[nodiscard]] std::vector<Method> methods(std::string_view path) const;

    /// Answers. Throws Error: not_found for an unknown path, invalid for a method that the path does not
    /// have, and all that handlers throw.
    [[nodiscard]] Response handle(const Request& request) const;

  private:
    struct Entry {
        Route route;
        std::function<Response(const Json&)> handle;
        std::function<Json(const std::string&)> read_query;
    };
    [[nodiscard]] const Entry* entry(Method method, std::string_view path) const;

    std::vector<Entry> entries_;
};

} // namespace capsul
