#include "daemon/relay/tcp_relay.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/epoll.h>

namespace capsul::relay {
namespace {

constexpr int accepted_at_once = 64;
constexpr int pieces_at_once = 16; // then it is another connection's turn
constexpr std::size_t piece_size = std::size_t{64} << 10U;

bool would_block(int number) {
    return number == EAGAIN || number == EINTR;
}

void set_option(int fd, int level, int name, int value) {
    ::setsockopt(fd, level, name, &value, sizeof value);
}

/// What is small goes at once, as whoever wrote it decided. A peer that has gone without a word is noticed
/// after some minutes (tcp(7)).
void prepare(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 120);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 30);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
    set_option(fd, IPPROTO_TCP, TCP_SYNCNT, 4); // half a minute to connect
}

/// Closes with a reset, so that the peer learns that it did not end well.
void reset(UniqueFd& fd) {
    const linger at_once{1, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    fd.reset();
}

/// Whether it comes about, or may.
bool begin_connection(const UniqueFd& fd, const SocketAddress& guest) {
    return ::connect(fd.get(), guest.generic(), guest.size()) == 0 || errno == EINPROGRESS;
}

enum class Step { more, wait, broken };

/// What goes one way. Nothing is read while something is held, so a slow reader slows the writer down.
struct Flow {
    int from;
    int to;
    std::string held{};
    bool ended = false; ///< `from` has sent its last, and `to` was told so

    [[nodiscard]] bool wants_input() const { return !ended && held.empty(); }
    [[nodiscard]] bool wants_output() const { return !held.empty(); }
};

Step send_held(Flow& flow) {
    const ssize_t sent = ::send(flow.to, flow.held.data(), flow.held.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
        return would_block(errno) ? Step::wait : Step::broken;
    }
    flow.held.erase(0, static_cast<std::size_t>(sent));
    if (!flow.held.empty()) {
        return Step::wait;
    }
    flow.held.shrink_to_fit();
    return Step::more;
}

Step pass_piece(Flow& flow) {
    std::array<char, piece_size> piece; // NOLINT(*-member-init): recv fills it
    const ssize_t got = ::recv(flow.from, piece.data(), piece.size(), MSG_DONTWAIT);
    if (got < 0) {
        return would_block(errno) ? Step::wait : Step::broken;
    }
    if (got == 0) {
        ::shutdown(flow.to, SHUT_WR);
        flow.ended = true;
        return Step::wait;
    }
    const auto length = static_cast<std::size_t>(got);
    const ssize_t sent = ::send(flow.to, piece.data(), length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && !would_block(errno)) {
        return Step::broken;
    }
    const auto done = static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
    flow.held.assign(piece.data() + done, length - done);
    return flow.held.empty() ? Step::more : Step::wait;
}

/// Passes on what can be passed on now; false when the connection has broken.
bool pump(Flow& flow) {
    Step step = Step::more;
    for (int i = 0; i < pieces_at_once && step == Step::more && !flow.ended; ++i) {
        step = flow.wants_output() ? send_held(flow) : pass_piece(flow);
    }
    return step != Step::broken;
}

} // namespace

/// A client and the guest, from the moment that the client is there.
class TcpConnection {
  public:
    using Ended = std::function<void(const TcpConnection*)>;

    TcpConnection(EventLoop& loop, UniqueFd client, UniqueFd guest, Ended ended)
        : client_(std::move(client)),
          guest_(std::move(guest)), upward_{client_.get(), guest_.get()}, downward_{guest_.get(),
                                                                                    client_.get()},
          ended_(std::move(ended)), client_watch_(loop, client_.get(), [this] { advance(); }),
          guest_watch_(loop, guest_.get(), [this] { advance(); }) {
        guest_watch_.want(EPOLLOUT); // when it is connected, or is not going to be
    }

  private:
    void advance() {
        if (!connected_ && !check_connected()) {
            return;
        }
        if (!pump(upward_) || !pump(downward_)) {
            finish(true);
        } else if (upward_.ended && downward_.ended) {
            finish(false);
        } else {
            client_watch_.want(wanted(upward_, downward_));
            guest_watch_.want(wanted(downward_, upward_));
        }
    }

    /// See connect(2), EINPROGRESS.
    bool check_connected() {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(guest_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            finish(true);
            return false;
        }
        connected_ = true;
        return true;
    }

    /// The events to wait for at the end that `out` comes from and `in` goes to.
    static std::uint32_t wanted(const Flow& out, const Flow& in) {
        return (out.wants_input() ? static_cast<std::uint32_t>(EPOLLIN) : 0U) |
               (in.wants_output() ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
    }

    void finish(bool badly) {
        client_watch_.want(0);
        guest_watch_.want(0);
        if (badly) {
            reset(client_);
            reset(guest_);
        }
        ended_(this);
    }

    UniqueFd client_;
    UniqueFd guest_;
    Flow upward_;
    Flow downward_;
    bool connected_ = false;
    const Ended ended_;
    Watch client_watch_; // after the descriptors: they end their watch before those are closed
    Watch guest_watch_;
};

TcpRelay::TcpRelay(EventLoop& loop, UniqueFd listener, const SocketAddress& guest)
    : loop_(loop), guest_(guest), listener_(std::move(listener)),
      watch_(loop, listener_.get(), [this] { accept_some(); }) {
    watch_.want(EPOLLIN);
}

TcpRelay::~TcpRelay() = default;

/// One that had to pause tries again.
void TcpRelay::tick(Clock::time_point) {
    watch_.want(EPOLLIN);
}

void TcpRelay::accept_some() {
    for (int i = 0; i < accepted_at_once; ++i) {
        // First the other end: who is accepted can be served.
        UniqueFd guest(::socket(guest_.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        UniqueFd client(guest ? ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)
                              : -1);
        if (client) {
            serve(std::move(client), std::move(guest));
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            watch_.want(0); // as with too many open files: whoever waits is served when it has passed
            return;
        }
    }
}

void TcpRelay::serve(UniqueFd client, UniqueFd guest) {
    prepare(client.get());
    prepare(guest.get());
    if (!begin_connection(guest, guest_)) {
        reset(client);
        return;
    }
    const auto connection = std::make_shared<TcpConnection>(
        loop_, std::move(client), std::move(guest), [this](const TcpConnection* ended) { forget(ended); });
    connections_.emplace(connection.get(), connection);
}

void TcpRelay::forget(const TcpConnection* connection) {
    const auto found = connections_.find(connection);
    loop_.bury(std::move(found->second));
    connections_.erase(found);
}

} // namespace capsul::relay
