#include "tests/integration/server_fixture.hpp"

#include <algorithm>
#include <array>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdlib>
#include <fmt/format.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

using namespace std::chrono_literals;
namespace http = boost::beast::http;

namespace capsul::test {
namespace {

struct Nothing {
    static constexpr auto fields() { return field_list(); }
};
struct Pong {
    bool pong = true;
    static constexpr auto fields() { return field_list(required("pong", &Pong::pong)); }
};
struct Text {
    std::string text;
    static constexpr auto fields() { return field_list(required("text", &Text::text)); }
};
struct Ping : Nothing {
    using Result = Pong;
    static constexpr Route route{Method::get, "/v1/ping", Answer::value};
};
struct Echo {
    std::string text;
    using Result = Text;
    static constexpr Route route{Method::post, "/v1/echo", Answer::value};
    static constexpr auto fields() { return field_list(required("text", &Echo::text)); }
};
struct Big {
    std::uint32_t size = 0;
    using Result = Text;
    static constexpr Route route{Method::get, "/v1/big", Answer::value};
    static constexpr auto fields() { return field_list(required("size", &Big::size)); }
};
struct Slow : Nothing {
    using Result = Pong;
    static constexpr Route route{Method::get, "/v1/slow", Answer::value};
};
struct Fail : Nothing {
    using Result = Pong;
    static constexpr Route route{Method::post, "/v1/fail", Answer::value};
};
struct Crash : Nothing {
    using Result = Pong;
    static constexpr Route route{Method::post, "/v1/crash", Answer::value};
};
struct Job {
    std::string id;
    static constexpr auto fields() { return field_list(required("id", &Job::id)); }
};
struct Jobs : Nothing {
    using Result = Job;
    static constexpr Route route{Method::post, "/v1/jobs", Answer::operation};
};
struct Stream : Nothing {
    static constexpr Route route{Method::get, "/v1/stream", Answer::stream};
};
struct Tunnel : Nothing {
    static constexpr Route route{Method::get, "/v1/tunnel", Answer::tunnel};
};
struct Fetch : Nothing {
    static constexpr Route route{Method::get, "/v1/fetch", Answer::download};
};
struct Files : Nothing {
    using Result = Pong;
    static constexpr Route route{Method::post, "/v1/files", Answer::upload};
};

} // namespace

RawClient::RawClient(const std::filesystem::path& socket) : fd_(connect_unix(socket)) {
    const timeval limit{10, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

bool RawClient::send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
}

bool RawClient::receive() {
    const auto room = buffer_.prepare(std::size_t{64} * 1024);
    const ssize_t got = ::recv(fd_.get(), room.data(), room.size(), 0);
    if (got < 0 && errno == EAGAIN) {
        throw std::runtime_error("the server is silent");
    }
    buffer_.commit(got > 0 ? static_cast<std::size_t>(got) : 0);
    return got > 0;
}

namespace {

/// Feeds the parser until `done`.
template <class Parser, class Receive>
void parse_until(Parser& parser, boost::beast::flat_buffer& buffer, const Receive& receive,
                 bool (*done)(Parser&)) {
    boost::system::error_code failure;
    while (!done(parser)) {
        if (buffer.size() > 0) {
            buffer.consume(parser.put(buffer.data(), failure));
            if (failure && failure != http::error::need_more) {
                throw std::runtime_error("bad answer: " + failure.message());
            }
        }
        if (!done(parser) && (buffer.size() == 0 || failure == http::error::need_more) && !receive()) {
            throw std::runtime_error("the server has closed the connection");
        }
    }
}

} // namespace

HttpAnswer RawClient::answer() {
    http::response_parser<http::string_body> parser;
    parser.body_limit(boost::none);
    parser.eager(true);
    parse_until<decltype(parser)>(
        parser, buffer_, [this] { return receive(); }, [](auto& p) { return p.is_done(); });
    return parser.release();
}

HttpAnswer RawClient::ask(std::string_view request) {
    if (!send(request)) {
        throw std::runtime_error("the server does not take the request");
    }
    return answer();
}

HttpAnswer RawClient::head() {
    http::response_parser<http::empty_body> parser;
    parse_until<decltype(parser)>(
        parser, buffer_, [this] { return receive(); }, [](auto& p) { return p.is_header_done(); });
    return HttpAnswer(std::move(parser.get().base()));
}

std::string RawClient::raw(std::size_t count) {
    while (buffer_.size() < count && receive()) {
    }
    const auto data = buffer_.data();
    std::string bytes(static_cast<const char*>(data.data()), std::min(count, data.size()));
    buffer_.consume(bytes.size());
    return bytes;
}

bool RawClient::at_end() {
    return raw(1).empty();
}

/// Within less than a server bears with a client by default: what drops it is the limit of the test.
bool RawClient::is_dropped() {
    pollfd polled{fd_.get(), 0, 0};
    return ::poll(&polled, 1, 20'000) == 1 && (polled.revents & POLLHUP) != 0;
}

void RawClient::end_of_sending() {
    ::shutdown(fd_.get(), SHUT_WR);
}

std::shared_ptr<void> Token::make() {
    return {this, [this](void*) { promise_.set_value(); }};
}

bool Token::dropped() {
    return future_.wait_for(20s) == std::future_status::ready;
}

std::string get(const std::string& target, const std::string& more_headers) {
    return fmt::format("GET {} HTTP/1.1\r\nHost: capsul\r\n{}\r\n", target, more_headers);
}

std::string post(const std::string& target, const std::string& body, const std::string& more_headers) {
    return fmt::format("POST {} HTTP/1.1\r\nHost: capsul\r\nContent-Length: {}\r\n{}\r\n{}", target,
                       body.size(), more_headers, body);
}

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 2'000; ++i) {
        if (condition()) {
            return true;
        }
        std::this_thread::sleep_for(5ms);
    }
    return false;
}

TestServer::TestServer(const ServerConfig& config, const Patience& patience, uid_t owner_uid) {
    add_routes();
    std::vector<UniqueFd> listeners;
    listeners.push_back(listen_unix(socket()));
    server_ = std::make_unique<Server>(router_, config, std::move(listeners), owner_uid, patience);
    thread_ = std::thread([this] { server_->run(10ms, [this] { ++ticks; }); });
}

TestServer::~TestServer() {
    release();
    stop();
    server_.reset();
}

void TestServer::release() {
    if (!std::exchange(is_released_, true)) {
        released_.set_value();
    }
}

void TestServer::wait_for_slow(int count) {
    for (int now = slow_; now < count; now = slow_) {
        slow_.wait(now);
    }
}

void TestServer::stop() {
    server_->stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void TestServer::add_routes() {
    router_.add<Ping>([](const Ping&) { return Pong{}; });
    router_.add<Echo>([](const Echo& call) { return Text{call.text}; });
    router_.add<Big>([](const Big& call) { return Text{std::string(call.size, 'x')}; });
    router_.add<Slow>([this](const Slow&) {
        ++slow_;
        slow_.notify_all();
        release_.wait();
        return Pong{};
    });
    router_.add<Fail>([](const Fail&) -> Pong { throw Error(ErrorCode::in_use, "web uses it", "stop web"); });
    router_.add<Crash>([](const Crash&) -> Pong { throw std::runtime_error("secret"); });
    router_.add<Jobs>([](const Jobs&) { return Job{"17"}; });
    router_.add<Stream>([this](const Stream&) {
        const std::lock_guard lock(mutex);
        return StreamResponse{"text/plain", std::move(source), std::move(owner)};
    });
    router_.add<Tunnel>([this](const Tunnel&) {
        const std::lock_guard lock(mutex);
        return TunnelResponse{std::move(tunnel), std::move(owner)};
    });
    router_.add<Fetch>([this](const Fetch&) {
        const std::lock_guard lock(mutex);
        auto held = std::move(owner);
        return DownloadResponse{download_size, [this, held](std::span<char> piece) {
                                    const std::size_t got = std::min(piece.size(), download_left.load());
                                    download_left -= got;
                                    std::ranges::fill(piece.first(got), 'x');
                                    return got;
                                }};
    });
    router_.add<Files>([this](const Files&) {
        const std::lock_guard lock(mutex);
        auto held = std::move(owner);
        return UploadResponse{[this, held](std::string_view piece) {
                                  uploaded += piece.size();
                                  if (uploaded > upload_limit) {
                                      throw Error(ErrorCode::no_space, "the disk is full");
                                  }
                              },
                              [this]() -> Json {
                                  return {{"size", uploaded.load()}};
                              }};
    });
}

} // namespace capsul::test
