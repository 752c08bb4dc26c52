// A Unix socket whose other end does what a test says: answers, lies, or nothing.
#pragma once

#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace capsul::test {

/// One conversation, from the server's side.
class Peer {
  public:
    explicit Peer(int fd) : fd_(fd) {}

    /// False when the client has gone.
    bool send(std::string_view data) const { // NOLINT(modernize-use-nodiscard)
        while (!data.empty()) {
            const ssize_t sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
            if (sent <= 0) {
                return false;
            }
            data.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }
    /// The next line, without its end; empty when the client has gone.
    std::string read_line() {
        std::size_t end = 0;
        while ((end = buffer_.find('\n')) == std::string::npos) {
            std::array<char, 4096> chunk{};
            const ssize_t got = ::recv(fd_, chunk.data(), chunk.size(), 0);
            if (got <= 0) {
                return {};
            }
            buffer_.append(chunk.data(), static_cast<std::size_t>(got));
        }
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
    }
    /// Says nothing until the client has gone.
    void wait_for_end() {
        while (!read_line().empty()) {
        }
    }

  private:
    int fd_;
    std::string buffer_;
};

/// Listens at `path` and has `script` talk with each client, one after the other.
class FakePeer {
  public:
    FakePeer(const std::filesystem::path& path, std::function<void(Peer&)> script)
        : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), script_(std::move(script)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(),
                    std::min(path.native().size(), sizeof address.sun_path - 1));
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
        if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(listener_.get(), 8) != 0) {
            throw std::runtime_error("cannot listen at " + path.string());
        }
        thread_ = std::thread([this] { serve(); });
    }
    FakePeer(const FakePeer&) = delete;
    FakePeer& operator=(const FakePeer&) = delete;
    ~FakePeer() {
        ::shutdown(listener_.get(), SHUT_RDWR);
        ::shutdown(client_, SHUT_RDWR);
        thread_.join();
    }

  private:
    void serve() {
        while (true) {
            UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!client) {
                return;
            }
            client_ = client.get();
            Peer peer(client.get());
            script_(peer);
            client_ = -1;
        }
    }

    UniqueFd listener_;
    std::function<void(Peer&)> script_;
    std::atomic<int> client_ = -1;
    std::thread thread_;
};

} // namespace capsul::test
