// Listens on the Unix socket and speaks HTTP/1.1. The only file with coroutines is server.cpp.
#pragma once

#include "daemon/router.hpp"
#include "lib/config.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

namespace capsul {

/// How long the server bears with a client.
struct Patience {
    std::chrono::milliseconds head{5'000};  ///< until a request's head is whole
    std::chrono::milliseconds idle{60'000}; ///< between two requests
    std::chrono::milliseconds body{30'000}; ///< until a JSON body is whole
    std::chrono::milliseconds progress{
        30'000}; ///< until the next byte of an upload comes or of an answer is taken
    std::chrono::milliseconds stop{5'000}; ///< when stopping, until what runs is cut off
};

/// One I/O thread (the one that calls run) and `threads` handler threads.
class Server {
  public:
    /// `listeners`: bound, listening Unix sockets, from systemd (sd_listen_fds(3)) or from listen_unix.
    /// `owner`: the uid that, besides root, may always call; members of config.group may too.
    Server(const Router& router, const ServerConfig& config, std::vector<UniqueFd> listeners, uid_t owner,
           const Patience& patience = {});
    /// Waits for handlers that still run.
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Serves until stop(). `tick` is called about every `interval` from the I/O thread: the watchdog.
    void run(std::chrono::milliseconds interval, const std::function<void()>& tick);
    /// From any thread, and from a signal handler: stops accepting, drops what is idle, streams or is a
    /// tunnel, lets running handlers end within a few seconds; then run returns.
    void stop() noexcept;

  private:
    class Listener;
    std::unique_ptr<Listener> listener_;
};

/// A listening socket at `path`, mode 0600; a stale one (nobody answers, ours) is replaced, a live one
/// refused (in_use).
[[nodiscard]] UniqueFd listen_unix(const std::filesystem::path& path);

} // namespace capsul
