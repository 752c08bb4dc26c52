#include "lib/client.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

using Request = http::request<http::string_body>;
using Answered = http::response_parser<http::buffer_body>;

constexpr std::size_t head_limit = std::size_t{64} << 10U;
constexpr std::size_t answer_limit = std::size_t{64} << 20U; ///< of what is kept in memory; streams have none
constexpr std::size_t piece_size = std::size_t{1} << 20U;

const char* const newer_hint = "are capsulctl and capsuld of the same version? `capsulctl version` tells";

http::verb verb_of(Method method) {
    switch (method) {
    case Method::get:
        return http::verb::get;
    case Method::post:
        return http::verb::post;
    case Method::delete_:
        return http::verb::delete_;
    }
    return http::verb::unknown;
}

Request make_request(const RequestTarget& target) {
    Request request(verb_of(target.method), target.target, 11);
    request.set(http::field::host, "capsul");
    if (!target.body.empty()) {
        request.set(http::field::content_type, "application/json");
        request.body() = target.body;
    }
    request.prepare_payload();
    return request;
}

/// What the daemon says about a request that it refused; tolerant, for its version may differ from ours.
Error refusal(unsigned status, const std::string& body) {
    const Json answer = Json::parse(body, nullptr, false);
    Json known = Json::object();
    if (answer.is_object()) {
        for_each_field<Problem>([&](const auto& field) {
            if (answer.contains(field.key)) {
                known[field.key] = answer[field.key];
            }
        });
    }
    try {
        return decode<Problem>(known).to_error();
    } catch (const Error&) {
        return {ErrorCode::internal, fmt::format("capsuld refused with status {} and no reason", status),
                "`journalctl --user -u capsuld` may tell"};
    }
}

Json parse_answer(const std::string& text) {
    Json answer = Json::parse(text, nullptr, false);
    if (answer.is_discarded()) {
        throw Error(ErrorCode::internal, "capsuld's answer is not JSON", newer_hint);
    }
    return answer;
}

/// What to do about a daemon that does not answer.
std::string start_hint(const std::filesystem::path& socket) {
    if (!socket.native().starts_with("/run/capsul/")) {
        return "systemctl --user start capsuld.socket";
    }
    if (std::getenv("XDG_RUNTIME_DIR") == nullptr) { // NOLINT(concurrency-mt-unsafe): nobody sets it
        return "XDG_RUNTIME_DIR is not set, so your own capsuld is not found: log in by ssh or on a console, "
               "not by su";
    }
    return "ask who looks after the host's capsuld to start its capsuld-host.socket";
}

UniqueFd connect_daemon(const std::filesystem::path& socket) {
    try {
        return connect_unix(socket);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::denied) {
            throw Error(ErrorCode::denied, error.what(),
                        "only its owner, root, and the group that capsuld.toml names may use this socket");
        }
        if (error.code() != ErrorCode::unreachable) {
            throw;
        }
        throw NoDaemon(std::string("capsuld does not answer: ") + error.what(), start_hint(socket));
    }
}

/// How many bytes there are from here to the end of a regular file; nothing for pipes and devices.
std::optional<std::uint64_t> remaining_size(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        throw_errno(errno, "the file to send");
    }
    const off_t position = S_ISREG(status.st_mode) ? ::lseek(fd, 0, SEEK_CUR) : -1;
    if (position < 0 || position > status.st_size) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(status.st_size - position);
}

std::size_t read_piece(int fd, std::string& piece, std::size_t wanted) {
    while (true) {
        const ssize_t got = ::read(fd, piece.data(), wanted);
        if (got >= 0) {
            return static_cast<std::size_t>(got);
        }
        if (errno != EINTR) {
            throw_errno(errno, "the file to send");
        }
    }
}

std::string head_text(const http::request<http::empty_body>& request) {
    std::string head = fmt::format("{} {} HTTP/1.1\r\n", std::string_view(request.method_string()),
                                   std::string_view(request.target()));
    for (const auto& field : request) {
        head +=
            fmt::format("{}: {}\r\n", std::string_view(field.name_string()), std::string_view(field.value()));
    }
    return head + "\r\n";
}

} // namespace

class Client::Connection {
  public:
    Connection(std::filesystem::path path, std::chrono::milliseconds patience)
        : path_(std::move(path)), patience_(patience), socket_(context_) {}

    /// The body of a successful answer.
    std::string exchange(const RequestTarget& target);
    void stream(const RequestTarget& target, const Sink& sink);
    UniqueFd tunnel(const RequestTarget& target);
    std::string upload(const RequestTarget& target, int fd, const OnSent& on_sent);

  private:
    void connect();
    void close();
    /// Whether the connection of an earlier call can be used once more.
    bool usable();
    void ask(const Request& request, std::optional<Answered>& answer);
    void start_answer(std::optional<Answered>& answer);
    void read_head(Answered& answer, error_code& error);
    void await_answer();
    void read_body(Answered& answer, const Sink& sink);
    std::string whole_body(Answered& answer);
    /// The body of an answer that must be a success; throws what it says when it is not.
    std::string successful_body(Answered& answer);
    std::string head_byte_by_byte();
    bool send_all(std::string_view data);
    bool send_file(int fd, std::optional<std::uint64_t> size, const OnSent& on_sent);
    bool send_chunk(std::string_view piece, bool chunked);
    [[noreturn]] void fail(const error_code& error);

    std::filesystem::path path_;
    std::chrono::milliseconds patience_;
    asio::io_context context_{1};
    asio::local::stream_protocol::socket socket_;
    beast::flat_buffer buffer_{head_limit + piece_size};
};

void Client::Connection::connect() {
    close();
    UniqueFd fd = connect_daemon(path_);
    socket_.assign(asio::local::stream_protocol(), fd.get());
    static_cast<void>(fd.release());
}

void Client::Connection::close() {
    error_code ignored;
    socket_.close(ignored);
    buffer_.clear();
}

bool Client::Connection::usable() {
    if (!socket_.is_open()) {
        return false;
    }
    // A server that closed it, or says something unasked, shows as readable.
    pollfd waiting{socket_.native_handle(), POLLIN, 0};
    return ::poll(&waiting, 1, 0) == 0;
}

void Client::Connection::fail(const error_code& error) {
    close();
    const bool cut_off = error == http::error::end_of_stream || error == http::error::partial_message ||
                         error == asio::error::eof || error == asio::error::connection_reset ||
                         error == asio::error::broken_pipe;
    if (cut_off) {
        throw NoDaemon("capsuld closed the connection before its answer was complete",
                       "`journalctl --user -u capsuld` may tell why");
    }
    throw Error(ErrorCode::internal,
                fmt::format("{}: what answers there is not capsuld ({})", path_.string(), error.message()),
                "check --socket and CAPSUL_SOCKET");
}

void Client::Connection::start_answer(std::optional<Answered>& answer) {
    answer.emplace();
    answer->header_limit(head_limit);
    answer->body_limit(boost::none);
}

/// A daemon that hangs is not waited for in vain. Every call is answered at once, or with an operation or a
/// stream.
void Client::Connection::await_answer() {
    pollfd waiting{socket_.native_handle(), POLLIN, 0};
    int ready = -1;
    do {
        ready = ::poll(&waiting, 1, static_cast<int>(patience_.count()));
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        close();
        throw NoDaemon(fmt::format("capsuld does not answer: nothing came in {} s",
                                   std::chrono::duration<double>(patience_).count()),
                       "systemctl --user restart capsuld    # running VMs do not notice");
    }
}

void Client::Connection::read_head(Answered& answer, error_code& error) {
    do {
        http::read_header(socket_, buffer_, answer, error);
    } while (error == asio::error::interrupted);
}

/// Sends the request and reads the head of its answer.
void Client::Connection::ask(const Request& request, std::optional<Answered>& answer) {
    const bool reused = usable();
    if (!reused) {
        connect();
    }
    error_code error;
    http::write(socket_, request, error); // a server that refuses early may close, and still have answered
    await_answer();
    start_answer(answer);
    read_head(*answer, error);
    const bool unheard = error == http::error::end_of_stream || error == asio::error::connection_reset;
    if (reused && unheard && request.method() == http::verb::get) {
        // It was closed as idle in this very moment.
        connect();
        http::write(socket_, request, error);
        start_answer(answer);
        read_head(*answer, error);
    }
    if (error) {
        fail(error);
    }
}

void Client::Connection::read_body(Answered& answer, const Sink& sink) {
    std::string piece(std::size_t{64} << 10U, '\0');
    while (!answer.is_done()) {
        answer.get().body().data = piece.data();
        answer.get().body().size = piece.size();
        error_code error;
        http::read_some(socket_, buffer_, answer, error);
        if (error && error != http::error::need_buffer && error != asio::error::interrupted) {
            fail(error);
        }
        const std::size_t got = piece.size() - answer.get().body().size;
        if (got > 0 && !sink(std::string_view(piece).substr(0, got))) {
            close();
            return;
        }
    }
    if (!answer.keep_alive()) {
        close();
    }
}

std::string Client::Connection::whole_body(Answered& answer) {
    std::string body;
    read_body(answer, [&](std::string_view piece) {
        body += piece;
        return body.size() <= answer_limit;
    });
    if (body.size() > answer_limit) {
        throw Error(ErrorCode::too_large,
                    fmt::format("capsuld's answer is longer than {} bytes", answer_limit));
    }
    return body;
}

std::string Client::Connection::successful_body(Answered& answer) {
    const unsigned status = answer.get().result_int();
    std::string body = whole_body(answer);
    if (status < 200 || status > 299) {
        throw refusal(status, body);
    }
    return body;
}

std::string Client::Connection::exchange(const RequestTarget& target) {
    std::optional<Answered> answer;
    ask(make_request(target), answer);
    return successful_body(*answer);
}

void Client::Connection::stream(const RequestTarget& target, const Sink& sink) {
    std::optional<Answered> answer;
    ask(make_request(target), answer);
    if (answer->get().result() != http::status::ok) {
        throw refusal(answer->get().result_int(), whole_body(*answer));
    }
    read_body(*answer, sink);
}

/// What follows the head belongs to the tunnel, so not a byte more than the head may be taken from the
/// socket.
std::string Client::Connection::head_byte_by_byte() {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
        char byte = 0;
        const ssize_t got = ::recv(socket_.native_handle(), &byte, 1, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || head.size() >= head_limit) {
            fail(got == 0 ? error_code(http::error::end_of_stream)
                          : error_code(got < 0 ? errno : EMSGSIZE, boost::system::system_category()));
        }
        head += byte;
    }
    return head;
}

UniqueFd Client::Connection::tunnel(const RequestTarget& target) {
    connect();
    Request request = make_request(target);
    request.set(http::field::connection, "Upgrade");
    request.set(http::field::upgrade, "capsul-stream");
    error_code error;
    http::write(socket_, request, error);
    await_answer();
    const std::string head = head_byte_by_byte();
    buffer_.commit(asio::buffer_copy(buffer_.prepare(head.size()), asio::buffer(head)));
    std::optional<Answered> answer;
    start_answer(answer);
    read_head(*answer, error);
    if (error) {
        fail(error);
    }
    if (answer->get().result() == http::status::switching_protocols) {
        return UniqueFd(socket_.release());
    }
    const Error refused = refusal(answer->get().result_int(), whole_body(*answer));
    throw refused;
}

/// Sends unless the server speaks first: false then, for what it says now can only be a refusal.
bool Client::Connection::send_all(std::string_view data) {
    while (!data.empty()) {
        pollfd waiting{socket_.native_handle(), POLLIN | POLLOUT, 0};
        if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) {
            throw_errno(errno, "poll");
        }
        if ((waiting.revents & POLLIN) != 0) {
            return false;
        }
        const ssize_t sent =
            ::send(socket_.native_handle(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        data.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
    }
    return true;
}

bool Client::Connection::send_chunk(std::string_view piece, bool chunked) {
    if (!chunked) {
        return send_all(piece);
    }
    return send_all(fmt::format("{:x}\r\n", piece.size())) && send_all(piece) && send_all("\r\n");
}

/// False when the server spoke before all was sent.
bool Client::Connection::send_file(int fd, std::optional<std::uint64_t> size, const OnSent& on_sent) {
    std::string piece(piece_size, '\0');
    std::uint64_t sent = 0;
    while (!size || sent < *size) {
        const std::size_t wanted = size ? std::min<std::uint64_t>(piece.size(), *size - sent) : piece.size();
        const std::size_t got = read_piece(fd, piece, wanted);
        if (got == 0) {
            break;
        }
        if (!send_chunk(std::string_view(piece).substr(0, got), !size)) {
            return false;
        }
        sent += got;
        if (on_sent) {
            on_sent(sent);
        }
    }
    if (size && sent < *size) {
        close();
        throw Error(ErrorCode::internal, "the file became shorter while it was sent");
    }
    return size || send_all("0\r\n\r\n");
}

std::string Client::Connection::upload(const RequestTarget& target, int fd, const OnSent& on_sent) {
    const std::optional<std::uint64_t> size = remaining_size(fd);
    http::request<http::empty_body> head(verb_of(target.method), target.target, 11);
    head.set(http::field::host, "capsul");
    head.set(http::field::content_type, "application/octet-stream");
    if (size) {
        head.content_length(*size);
    } else {
        head.chunked(true);
    }
    if (!usable()) {
        connect();
    }
    const bool complete = send_all(head_text(head)) && send_file(fd, size, on_sent);
    std::optional<Answered> answer;
    start_answer(answer);
    error_code error;
    read_head(*answer, error);
    if (error) {
        fail(error);
    }
    std::string body = successful_body(*answer);
    if (!complete) {
        close();
    }
    return body;
}

Client::Client(std::filesystem::path socket, std::chrono::milliseconds patience)
    : connection_(std::make_unique<Connection>(std::move(socket), patience)) {}

Client::~Client() = default;

Json Client::send(const Route& route, const Json& call) {
    return parse_answer(connection_->exchange(make_target(route, call)));
}

Json Client::follow(const Operation& started, const OnProgress& on_progress) {
    Operation now = started;
    std::string pending;
    const auto take_line = [&](const std::string& line) {
        now = decode_answer<Operation>(parse_answer(line));
        if (on_progress) {
            on_progress(now);
        }
    };
    const Json call = encode(OperationFollow{started.id});
    try {
        stream_target(make_target(OperationFollow::route, call), [&](std::string_view piece) {
            pending += piece;
            for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
                take_line(pending.substr(0, end));
                pending.erase(0, end + 1);
            }
            return pending.size() <= answer_limit;
        });
    } catch (const NoDaemon&) {
        // Told below.
    }
    if (!now.finished()) {
        throw NoDaemon(
            "capsuld went away before the work was done",
            "the work may be done or not: `capsulctl vm show`, `image show` or `network show` tells what "
            "there is now");
    }
    if (now.state == OperationState::failed) {
        throw now.error.value_or(Problem{.title = "the operation failed", .code = "internal", .hint = {}})
            .to_error();
    }
    return now.result.value_or(Json());
}

void Client::stream_target(const RequestTarget& target, const Sink& sink) {
    connection_->stream(target, sink);
}

UniqueFd Client::open_tunnel(const RequestTarget& target) {
    return connection_->tunnel(target);
}

Json Client::upload_file(const RequestTarget& target, int fd, const OnSent& on_sent) {
    return parse_answer(connection_->upload(target, fd, on_sent));
}

void throw_bad_answer(const Error& error) {
    throw Error(ErrorCode::internal, std::string("capsuld's answer is not understood: ") + error.what(),
                newer_hint);
}

} // namespace capsul
