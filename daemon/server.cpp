// The rule for coroutines here, because g++ 12 miscompiles more than that (double free): `T x = co_await
// f(names);`, a statement of its own, whose arguments are names.
#include "daemon/http_session.hpp"

#include "daemon/problem.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/write.hpp>

namespace capsul {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using boost::system::error_code;
using Socket = asio::local::stream_protocol::socket;

constexpr std::uint32_t longest_head = 8 * 1024;
constexpr std::size_t upload_piece = std::size_t{1} << 20U;
constexpr std::size_t download_piece = std::size_t{128} << 10U; // even on a slow line, one is sent in time
constexpr std::size_t stream_piece = std::size_t{32} * 1024;
constexpr std::chrono::seconds farewell{1};

/// Holds what may take its time to end, such as a child process, and lets it end on the pool.
template <class T>
class EndsOnPool {
  public:
    EndsOnPool(asio::thread_pool& pool, T value) : pool_(pool), value_(std::move(value)) {}
    EndsOnPool(const EndsOnPool&) = delete;
    EndsOnPool& operator=(const EndsOnPool&) = delete;
    ~EndsOnPool() { // NOLINT(bugprone-exception-escape): only when memory has run out
        asio::post(pool_, [value = std::move(value_)] {});
    }
    [[nodiscard]] const T& get() const { return value_; }

  private:
    asio::thread_pool& pool_;
    T value_;
};

template <class T>
awaitable<T> perform(const std::function<T()>& work) {
    co_return work();
}

/// Runs work that blocks and does not throw.
template <class T>
awaitable<T> on_pool(asio::thread_pool& pool, const std::function<T()>& work) {
    awaitable<T> task = perform(work);
    T result = co_await asio::co_spawn(pool, std::move(task), use_awaitable);
    co_return std::move(result);
}

/// Until the end of `from`, or an error of it; throws for one of `to`.
awaitable<void> copy(Socket& from, Socket& to) {
    std::string piece(stream_piece, '\0');
    const asio::mutable_buffer room = asio::buffer(piece);
    error_code end;
    auto token = asio::redirect_error(use_awaitable, end);
    while (!end) {
        const std::size_t got = co_await from.async_read_some(room, token);
        const asio::const_buffer filled = asio::buffer(piece, got);
        [[maybe_unused]] const std::size_t sent = co_await asio::async_write(to, filled, use_awaitable);
    }
}

/// Throws when the client is gone or too slow; what it did wrong may be answered.
void throw_unless_http(const error_code& failure) {
    static const auto& http_category = http::make_error_code(http::error::bad_method).category();
    if (failure && (failure.category() != http_category || failure == http::error::end_of_stream)) {
        throw boost::system::system_error(failure);
    }
}

} // namespace

HttpSession::HttpSession(SessionContext& context, UniqueFd fd, Admission::Place place)
    : context_(context), place_(std::move(place)), stream_(context.io), source_(context.io),
      peer_(context.io) {
    stream_.socket().assign(Local(), fd.get());
    static_cast<void>(fd.release());
    context_.sessions.insert(this);
}

HttpSession::~HttpSession() {
    context_.sessions.erase(this);
    if (context_.stopping && context_.sessions.empty()) {
        context_.io.stop();
    }
}

void HttpSession::start() {
    asio::co_spawn(context_.io, serve(shared_from_this()), asio::detached);
}

void HttpSession::start_refusal(const Problem& problem) {
    asio::co_spawn(context_.io, turn_away(shared_from_this(), problem_message(problem)), asio::detached);
}

void HttpSession::stop() {
    if (state_ != State::busy) {
        close();
    }
}

void HttpSession::close() {
    error_code ignored;
    stream_.close();
    source_.close(ignored);
    peer_.close(ignored);
}

awaitable<void> HttpSession::serve(std::shared_ptr<HttpSession> self) {
    bool more = true;
    try {
        while (more) {
            const bool again = co_await self->serve_request();
            more = again;
        }
    } catch (
        const boost::system::system_error&) { // NOLINT(bugprone-empty-catch): the client is gone, or too slow
    } catch (...) {
        static_cast<void>(problem_of_current_exception("connection"));
    }
    self->close();
}

awaitable<void> HttpSession::turn_away(std::shared_ptr<HttpSession> self, Message message) {
    try {
        co_await self->refuse(message);
    } catch (const boost::system::system_error&) { // NOLINT(bugprone-empty-catch): the client is gone
    }
    self->close();
}

/// True when another request may follow.
awaitable<bool> HttpSession::serve_request() {
    HeadParser head;
    head.header_limit(longest_head);
    head.body_limit(boost::none);
    const error_code head_failure = co_await receive_head(head);
    if (head_failure) {
        Message message = parse_failure_message(head_failure, context_.max_body);
        co_await refuse(message);
        co_return false;
    }
    Asked asked = read_head(head.get(), context_.router);
    const bool keep = head.keep_alive();
    const bool upload = asked.answer == Answer::upload;
    if (!asked.refusal && !upload && head.content_length().value_or(0) > context_.max_body) {
        asked.refusal = body_too_large_message(context_.max_body);
    }
    if (asked.refusal && head.is_done()) {
        const bool again = co_await send(*asked.refusal, keep);
        co_return again;
    }
    if (asked.refusal) {
        co_await refuse(*asked.refusal);
        co_return false;
    }
    if (upload) {
        const bool again = co_await serve_upload(head, asked.request);
        co_return again;
    }
    const bool again = co_await serve_call(head, asked.request);
    co_return again;
}

/// All that is not an upload.
awaitable<bool> HttpSession::serve_call(HeadParser& head, Request& request) {
    const bool keep = head.keep_alive();
    co_await invite_body(head.get());
    JsonParser parser(std::move(head));
    const error_code body_failure = co_await receive_json(parser);
    if (body_failure) {
        Message message = parse_failure_message(body_failure, context_.max_body);
        co_await refuse(message);
        co_return false;
    }
    request.body = std::move(parser.get().body());
    const bool again = co_await answer(request, keep);
    co_return again;
}

awaitable<error_code> HttpSession::receive_head(HeadParser& parser) {
    state_ = State::idle;
    if (!first_ && buffer_.size() == 0) {
        const asio::mutable_buffer room = buffer_.prepare(longest_head);
        stream_.expires_after(context_.patience.idle);
        const std::size_t got = co_await stream_.async_read_some(room, use_awaitable);
        buffer_.commit(got);
    }
    first_ = false;
    error_code failure;
    auto token = asio::redirect_error(use_awaitable, failure);
    stream_.expires_after(context_.patience.head);
    [[maybe_unused]] const std::size_t got =
        co_await http::async_read_header(stream_, buffer_, parser, token);
    throw_unless_http(failure);
    state_ = State::busy;
    co_return failure;
}

awaitable<error_code> HttpSession::receive_json(JsonParser& parser) {
    parser.body_limit(context_.max_body);
    error_code failure;
    auto token = asio::redirect_error(use_awaitable, failure);
    stream_.expires_after(context_.patience.body);
    [[maybe_unused]] const std::size_t got = co_await http::async_read(stream_, buffer_, parser, token);
    throw_unless_http(failure);
    co_return failure;
}

awaitable<bool> HttpSession::answer(const Request& request, bool keep) {
    const std::function<Reply()> work = [&] { return reply_to(request, context_.router); };
    Reply reply = co_await on_pool(context_.pool, work);
    if (auto* stream = std::get_if<StreamResponse>(&reply)) {
        const bool again = co_await send_stream(*stream, keep);
        co_return again;
    }
    if (auto* download = std::get_if<DownloadResponse>(&reply)) {
        const bool again = co_await send_download(*download, keep);
        co_return again;
    }
    if (auto* tunnel = std::get_if<TunnelResponse>(&reply)) {
        co_await relay(*tunnel);
        co_return false;
    }
    const bool again = co_await send(std::get<Message>(reply), keep);
    co_return again;
}

awaitable<void> HttpSession::invite_body(const RequestHead& head) {
    if (expects_continue(head) && buffer_.size() == 0) {
        ResponseHead go_on = continue_head();
        co_await send_head(go_on);
    }
}

awaitable<bool> HttpSession::serve_upload(HeadParser& head, const Request& request) {
    const bool keep = head.keep_alive();
    const std::function<Reply()> begin = [&] { return reply_to(request, context_.router); };
    Reply reply = co_await on_pool(context_.pool, begin);
    if (auto* failure = std::get_if<Message>(&reply)) {
        co_await refuse(*failure);
        co_return false;
    }
    const EndsOnPool<UploadResponse> upload(context_.pool, std::get<UploadResponse>(std::move(reply)));
    co_await invite_body(head.get());
    UploadParser parser(std::move(head));
    const bool received = co_await receive_file(parser, upload.get());
    if (!received) {
        co_return false;
    }
    const std::function<Message()> finish = [&] { return finish_upload(upload.get()); };
    Message message = co_await on_pool(context_.pool, finish);
    const bool again = co_await send(message, keep);
    co_return again;
}

/// False when the upload has failed and the client was told why.
awaitable<bool> HttpSession::receive_file(UploadParser& parser, const UploadResponse& upload) {
    std::string piece(upload_piece, '\0');
    std::size_t size = 0;
    const std::function<std::optional<Message>()> write = [&] {
        return write_piece(upload, std::string_view(piece).substr(0, size));
    };
    while (!parser.is_done()) {
        const std::size_t got = co_await receive_piece(parser, piece);
        size = got;
        std::optional<Message> failure = co_await on_pool(context_.pool, write);
        if (failure) {
            co_await refuse(*failure);
            co_return false;
        }
    }
    co_return true;
}

/// Fills `piece` unless the body ends before; returns its size.
awaitable<std::size_t> HttpSession::receive_piece(UploadParser& parser, std::string& piece) {
    auto& body = parser.get().body();
    body.data = piece.data();
    body.size = piece.size();
    error_code failure;
    auto token = asio::redirect_error(use_awaitable, failure);
    while (!parser.is_done() && body.size > 0) {
        stream_.expires_after(context_.patience.progress);
        [[maybe_unused]] const std::size_t got =
            co_await http::async_read_some(stream_, buffer_, parser, token);
        if (failure && failure != http::error::need_buffer) {
            throw boost::system::system_error(failure);
        }
    }
    co_return piece.size() - body.size;
}

awaitable<bool> HttpSession::send(Message& message, bool keep) {
    const bool stay = keep && !context_.stopping;
    message.keep_alive(stay);
    http::response_serializer<http::string_body> serializer(message);
    while (!serializer.is_done()) {
        stream_.expires_after(context_.patience.progress);
        [[maybe_unused]] const std::size_t sent =
            co_await http::async_write_some(stream_, serializer, use_awaitable);
    }
    co_return stay;
}

/// Sends the answer to a request that is not read to its end, so that a client still busy sending gets it:
/// closing at once would reset the connection under it.
awaitable<void> HttpSession::refuse(Message& message) {
    [[maybe_unused]] const bool stay = co_await send(message, false);
    stream_.socket().shutdown(Socket::shutdown_send);
    stream_.expires_after(farewell);
    std::string rest(stream_piece, '\0');
    const asio::mutable_buffer room = asio::buffer(rest);
    error_code end;
    auto token = asio::redirect_error(use_awaitable, end);
    while (!end) {
        [[maybe_unused]] const std::size_t got = co_await stream_.async_read_some(room, token);
    }
}

awaitable<void> HttpSession::send_head(ResponseHead& head) {
    http::response_serializer<http::empty_body> serializer(head);
    stream_.expires_after(context_.patience.progress);
    [[maybe_unused]] const std::size_t sent =
        co_await http::async_write_header(stream_, serializer, use_awaitable);
}

awaitable<void> HttpSession::send_chunk(const std::string& piece, std::size_t size) {
    const asio::const_buffer data = asio::buffer(piece, size);
    const auto chunk = http::make_chunk(data);
    stream_.expires_after(context_.patience.progress);
    [[maybe_unused]] const std::size_t sent = co_await asio::async_write(stream_, chunk, use_awaitable);
}

/// Ends the connection when less can be read than was promised: the client can tell.
awaitable<bool> HttpSession::send_download(DownloadResponse& response, bool keep) {
    const EndsOnPool<DownloadResponse> download(context_.pool, std::move(response));
    state_ = State::endless;
    const bool stay = keep && !context_.stopping;
    ResponseHead head = download_head(download.get().size);
    head.keep_alive(stay);
    co_await send_head(head);
    std::string piece(download_piece, '\0');
    const std::function<std::optional<std::size_t>()> read = [&] {
        return read_piece(download.get(), piece);
    };
    std::uint64_t left = download.get().size;
    while (left > 0) {
        const std::optional<std::size_t> got = co_await on_pool(context_.pool, read);
        const std::size_t size = got.value_or(0);
        if (size == 0 || size > left) {
            co_return false;
        }
        const asio::const_buffer data = asio::buffer(piece, size);
        stream_.expires_after(context_.patience.progress);
        [[maybe_unused]] const std::size_t sent = co_await asio::async_write(stream_, data, use_awaitable);
        left -= size;
    }
    co_return stay;
}

awaitable<bool> HttpSession::send_stream(StreamResponse& response, bool keep) {
    const EndsOnPool<std::shared_ptr<void>> owner(context_.pool, std::move(response.owner));
    state_ = State::endless;
    source_.assign(response.source.get());
    static_cast<void>(response.source.release());
    const bool stay = keep && !context_.stopping;
    ResponseHead head = stream_head(response.content_type);
    head.keep_alive(stay);
    co_await send_head(head);
    asio::co_spawn(context_.io, watch(shared_from_this()), asio::detached);
    const error_code end = co_await pump_source();
    source_.close();
    stream_.socket().cancel();
    if (end != asio::error::eof) {
        co_return false; // without the last chunk: the client can tell that something is missing
    }
    const auto last = http::make_chunk_last();
    stream_.expires_after(context_.patience.progress);
    [[maybe_unused]] const std::size_t sent = co_await asio::async_write(stream_, last, use_awaitable);
    co_return stay;
}

/// Sends what the source gives; returns how it ended.
awaitable<error_code> HttpSession::pump_source() {
    std::string piece(stream_piece, '\0');
    const asio::mutable_buffer room = asio::buffer(piece);
    error_code end;
    auto token = asio::redirect_error(use_awaitable, end);
    std::size_t size = 0;
    do {
        const std::size_t got = co_await source_.async_read_some(room, token);
        size = got;
        if (size > 0) {
            co_await send_chunk(piece, size);
        }
    } while (!end);
    co_return end;
}

/// Closes everything when the client is gone. Half a close, no more to send, is no reason to.
awaitable<void> HttpSession::watch(std::shared_ptr<HttpSession> self) {
    error_code failure;
    auto token = asio::redirect_error(use_awaitable, failure);
    co_await self->stream_.socket().async_wait(Socket::wait_error, token);
    if (!failure) {
        self->close();
    }
}

awaitable<void> HttpSession::relay(TunnelResponse& response) {
    const EndsOnPool<std::shared_ptr<void>> owner(context_.pool, std::move(response.owner));
    state_ = State::endless;
    peer_.assign(Local(), response.peer.get());
    static_cast<void>(response.peer.release());
    ResponseHead head = tunnel_head();
    co_await send_head(head);
    asio::co_spawn(context_.io, watch(shared_from_this()), asio::detached);
    asio::co_spawn(context_.io, relay_up(shared_from_this()), asio::detached);
    co_await copy(peer_, stream_.socket());
}

/// From the client to the peer, beginning with what came right behind the request.
awaitable<void> HttpSession::relay_up(std::shared_ptr<HttpSession> self) {
    try {
        const auto early = self->buffer_.data();
        [[maybe_unused]] const std::size_t sent =
            co_await asio::async_write(self->peer_, early, use_awaitable);
        co_await copy(self->stream_.socket(), self->peer_);
        self->peer_.shutdown(Socket::shutdown_send);
    } catch (const boost::system::system_error&) {
        self->close();
    }
}

} // namespace capsul
