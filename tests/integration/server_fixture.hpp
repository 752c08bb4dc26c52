// A server with calls of its own, and a client that can misbehave.
#pragma once

#include "daemon/server.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"
#include "tests/temporary_folder.hpp"

#include <atomic>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace capsul::test {

using HttpAnswer = boost::beast::http::response<boost::beast::http::string_body>;

/// One connection. Nothing waits longer than ten seconds.
class RawClient {
  public:
    explicit RawClient(const std::filesystem::path& socket);

    [[nodiscard]] int fd() const { return fd_.get(); }
    /// False when the server does not take it all.
    bool send(std::string_view bytes);
    /// The next answer; throws std::runtime_error when there is none.
    HttpAnswer answer();
    HttpAnswer ask(std::string_view request);
    /// The head of the next answer; what follows stays to be read.
    HttpAnswer head();
    /// Exactly `count` raw bytes, or fewer when the connection ends.
    std::string raw(std::size_t count);
    /// True when nothing more comes.
    bool at_end();
    /// Waits for the server to close, without reading.
    bool is_dropped();
    void end_of_sending();
    void close() { fd_.reset(); }

  private:
    bool receive();

    UniqueFd fd_;
    boost::beast::flat_buffer buffer_;
};

/// Given out by a handler; tells when the last owner has dropped it.
class Token {
  public:
    [[nodiscard]] std::shared_ptr<void> make();
    /// Waits up to ten seconds.
    [[nodiscard]] bool dropped();

  private:
    std::promise<void> promise_;
    std::future<void> future_ = promise_.get_future();
};

std::string get(const std::string& target, const std::string& more_headers = {});
std::string post(const std::string& target, const std::string& body, const std::string& more_headers = {});

std::size_t open_descriptors();
/// Polls up to ten seconds.
bool eventually(const std::function<bool()>& condition);

/// Serves on a socket in a folder of its own:
///   GET  /v1/ping            {"pong": true}
///   POST /v1/echo            {"text": …} and back
///   GET  /v1/big?size=N      a string of N bytes
///   GET  /v1/slow            returns when release() is called
///   POST /v1/fail            an Error, in_use, with a hint
///   POST /v1/crash           throws std::runtime_error("secret")
///   POST /v1/jobs            an operation
///   GET  /v1/stream          what the test put into `source`
///   GET  /v1/tunnel          to what the test put into `tunnel`
///   GET  /v1/fetch           promises `download_size` bytes, and has `download_left`
///   POST /v1/files           counts what is uploaded; refuses after `upload_limit` bytes
class TestServer {
  public:
    explicit TestServer(const ServerConfig& config = {}, const Patience& patience = {},
                        uid_t owner = ::geteuid());
    ~TestServer();
    TestServer(const TestServer&) = delete;
    TestServer& operator=(const TestServer&) = delete;

    [[nodiscard]] RawClient client() const { return RawClient(socket()); }
    [[nodiscard]] std::filesystem::path socket() const { return folder_ / "s"; }
    void release();
    void wait_for_slow(int count);
    /// Asks the server to stop and waits for run() to return.
    void stop();
    void request_stop() { server_->stop(); }

    std::mutex mutex; ///< of the members below
    UniqueFd source;
    UniqueFd tunnel;
    std::shared_ptr<void> owner;
    std::uint64_t upload_limit = ~std::uint64_t{0};
    std::atomic<std::uint64_t> uploaded = 0;
    std::uint64_t download_size = 0;
    std::atomic<std::size_t> download_left = 0;
    std::atomic<int> ticks = 0;

  private:
    void add_routes();

    TemporaryFolder folder_;
    Router router_;
    std::promise<void> released_;
    std::shared_future<void> release_ = released_.get_future().share();
    bool is_released_ = false;
    std::atomic<int> slow_ = 0;
    std::unique_ptr<Server> server_;
    std::thread thread_;
};

} // namespace capsul::test
