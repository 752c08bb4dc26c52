#include "daemon/json_peer.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <poll.h>
#include <sys/socket.h>
#include <system_error>
#include <thread>
#include <vector>

namespace capsul {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int depth_limit = 32;
constexpr int key_limit = 4096;      // of one object: finding a key is linear in an ordered object
constexpr int value_limit = 100'000; // of a message: a 2-byte value takes many times that in memory
constexpr std::size_t words_limit = 300;
constexpr std::chrono::milliseconds cancel_interval{250};

std::string describe(int number) {
    return std::generic_category().message(number);
}

/// Waits until `fd` is ready for `events`. A passed deadline throws even when it is: who sends a byte at a
/// time must not keep us for ever.
void wait_ready(int fd, short events, Deadline deadline, const std::string& what,
                const Cancelled& cancelled) {
    while (true) {
        if (cancelled && cancelled()) {
            throw Error(ErrorCode::unreachable, what + ": the wait for its answer was ended");
        }
        if (Clock::now() >= deadline) {
            throw Error(ErrorCode::timeout, what + ": did not answer in time");
        }
        pollfd wanted{fd, events, 0};
        const int ready =
            ::poll(&wanted, 1,
                   poll_timeout(cancelled ? std::min(deadline, Clock::now() + cancel_interval) : deadline));
        if (ready > 0) {
            return;
        }
        if (ready < 0 && errno != EINTR) {
            throw_errno(errno, what);
        }
    }
}

ssize_t send_some(int fd, std::string_view data, int descriptor) {
    if (descriptor < 0) {
        return ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    }
    iovec bytes{const_cast<char*>(data.data()), data.size()}; // NOLINT(*-const-cast): sendmsg does not write
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptor)> control{};
    msghdr message{};
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    *rights = {CMSG_LEN(sizeof descriptor), SOL_SOCKET, SCM_RIGHTS};
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    return ::sendmsg(fd, &message, MSG_NOSIGNAL);
}

/// Refuses, while it is being parsed, JSON that would cost far more than its length.
class JsonBounds {
  public:
    explicit JsonBounds(const std::string& what) : what_(what) {}

    bool operator()(int depth, Json::parse_event_t event, const Json&) {
        if (event == Json::parse_event_t::object_start) {
            keys_.push_back(0);
        } else if (event == Json::parse_event_t::object_end) {
            keys_.pop_back();
        }
        const bool too_many_keys = event == Json::parse_event_t::key && ++keys_.back() > key_limit;
        if (depth > depth_limit || too_many_keys || ++values_ > value_limit) {
            throw Error(ErrorCode::internal,
                        what_ + ": sent JSON that is nested too deeply or has too many parts");
        }
        return true;
    }

  private:
    const std::string& what_;
    std::vector<int> keys_;
    int values_ = 0;
};

} // namespace

int poll_timeout(Deadline deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

UniqueFd connect_peer(const std::filesystem::path& path, Deadline deadline) {
    const sockaddr_un address = unix_address(path);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
    while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int number = errno;
        if (number == EACCES) {
            throw Error(ErrorCode::denied, path.string() + ": " + describe(number));
        }
        if (number != EAGAIN && number != EINTR) {
            throw Error(ErrorCode::unreachable, path.string() + ": " + describe(number));
        }
        if (Clock::now() >= deadline) {
            throw Error(ErrorCode::timeout, path.string() + ": too many others wait to connect");
        }
        // The listener's queue is full; the kernel tells nobody when that changes.
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return fd;
}

void write_peer(int fd, std::string_view data, Deadline deadline, const std::string& what,
                const Cancelled& cancelled, int descriptor) {
    while (!data.empty()) {
        const ssize_t sent = send_some(fd, data, descriptor);
        if (sent >= 0) {
            descriptor = -1; // it went with the first byte
            data.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno == EAGAIN) {
            wait_ready(fd, POLLOUT, deadline, what, cancelled);
        } else if (errno != EINTR) {
            throw Error(ErrorCode::unreachable, what + ": " + describe(errno));
        }
    }
}

bool read_peer(int fd, std::string& buffer, Deadline deadline, const std::string& what,
               const Cancelled& cancelled) {
    std::array<char, 65536> chunk; // NOLINT(cppcoreguidelines-pro-type-member-init): recv fills it
    while (true) {
        wait_ready(fd, POLLIN, deadline, what, cancelled);
        const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), 0);
        if (got >= 0) {
            buffer.append(chunk.data(), static_cast<std::size_t>(got));
            return got > 0;
        }
        if (errno != EAGAIN && errno != EINTR) {
            throw Error(ErrorCode::unreachable, what + ": " + describe(errno));
        }
    }
}

Json parse_peer(std::string_view text, const std::string& what) {
    JsonBounds bounds(what);
    try {
        return Json::parse(text, std::ref(bounds));
    } catch (const Json::exception&) {
        throw Error(ErrorCode::internal, what + ": sent something that is not JSON");
    }
}

std::string quote_peer(std::string_view words) {
    std::string printable(words.substr(0, words_limit));
    std::replace_if(
        printable.begin(), printable.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return printable;
}

std::string peer_words(const Json& object, const char* key) {
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? quote_peer(found->get_ref<const std::string&>())
                                                       : "";
}

} // namespace capsul
