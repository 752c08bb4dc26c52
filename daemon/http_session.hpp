// One connection: what it holds, and what can be told to it. Its coroutines are in server.cpp, the only file
// that has any.
#pragma once

#include "daemon/admission.hpp"
#include "daemon/http_message.hpp"
#include "daemon/reply.hpp"
#include "daemon/server.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <memory>
#include <set>
#include <string>

namespace capsul {

class HttpSession;

/// What all sessions share. Of the I/O thread, but for the router and the pool.
struct SessionContext {
    SessionContext(const Router& the_router, const ServerConfig& config, const Patience& the_patience)
        : router(the_router), patience(the_patience), max_body(config.max_body.count()),
          pool(static_cast<std::size_t>(config.threads)) {}
    SessionContext(const SessionContext&) = delete;
    SessionContext& operator=(const SessionContext&) = delete;
    /// The pool's work ends before the coroutines that wait for it.
    ~SessionContext() { pool.join(); }

    const Router& router;
    const Patience patience;
    const std::uint64_t max_body;
    bool stopping = false;
    std::set<HttpSession*> sessions;
    boost::asio::thread_pool pool;
    boost::asio::io_context io{1}; ///< last: its end ends coroutines that use all of the above
};

/// Its coroutines hold it; all of it is used on the I/O thread.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
  public:
    HttpSession(SessionContext& context, UniqueFd fd, Admission::Place place);
    HttpSession(const HttpSession&) = delete;
    HttpSession& operator=(const HttpSession&) = delete;
    ~HttpSession();

    /// Serves one request after the other, in the background.
    void start();
    /// Says only why the connection may not stay, in the background.
    void start_refusal(const Problem& problem);
    /// The daemon is stopping: what may go on is only what will soon be done.
    void stop();

  private:
    template <class T>
    using Awaitable = boost::asio::awaitable<T>;
    using ErrorNumber = boost::system::error_code;
    using Local = boost::asio::local::stream_protocol;
    using HeadParser = http::request_parser<http::empty_body>;
    using JsonParser = http::request_parser<http::string_body>;
    using UploadParser = http::request_parser<http::buffer_body>;
    enum class State { idle, busy, endless };

    static Awaitable<void> serve(std::shared_ptr<HttpSession> self);
    static Awaitable<void> turn_away(std::shared_ptr<HttpSession> self, Message message);

    Awaitable<bool> serve_request();
    Awaitable<bool> serve_call(HeadParser& head, Request& request);
    Awaitable<ErrorNumber> receive_head(HeadParser& parser);
    Awaitable<ErrorNumber> receive_json(JsonParser& parser);
    Awaitable<bool> answer(const Request& request, bool keep);

    Awaitable<bool> serve_upload(HeadParser& head, const Request& request);
    Awaitable<bool> receive_file(UploadParser& parser, const UploadResponse& upload);
    Awaitable<std::size_t> receive_piece(UploadParser& parser, std::string& piece);
    Awaitable<void> invite_body(const RequestHead& head);

    Awaitable<bool> send(Message& message, bool keep);
    Awaitable<void> refuse(Message& message);
    Awaitable<void> send_head(ResponseHead& head);
    Awaitable<void> send_chunk(const std::string& piece, std::size_t size);

    Awaitable<bool> send_download(DownloadResponse& response, bool keep);
    Awaitable<bool> send_stream(StreamResponse& response, bool keep);
    Awaitable<ErrorNumber> pump_source();
    Awaitable<void> relay(TunnelResponse& response);
    static Awaitable<void> relay_up(std::shared_ptr<HttpSession> self);
    static Awaitable<void> watch(std::shared_ptr<HttpSession> self);

    void close();

    SessionContext& context_;
    const Admission::Place place_;
    State state_ = State::idle;
    bool first_ = true;
    boost::beast::basic_stream<Local> stream_;
    boost::beast::flat_buffer buffer_;             ///< received, not yet understood
    boost::asio::posix::stream_descriptor source_; ///< of the stream that is being answered with
    Local::socket peer_;                           ///< of a tunnel
};

} // namespace capsul
