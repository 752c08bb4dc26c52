#include "daemon/line_sender.hpp"

#include "lib/error.hpp"

#include <array>
#include <cerrno>
#include <sys/eventfd.h>
#include <sys/socket.h>

namespace capsul {
namespace {

constexpr std::size_t max_waiting = 10'000;

} // namespace

/// Only the thread closes `fd`, so that poll(2) never sees a number that means something else by now.
class LineSender::Reader {
  public:
    explicit Reader(UniqueFd fd) : fd_(std::move(fd)) {}

    [[nodiscard]] int fd() const { return fd_.get(); }
    [[nodiscard]] bool ended() const { return ended_; }
    [[nodiscard]] std::size_t waiting() const { return lines_.size(); }
    [[nodiscard]] bool finished() const { return ended_ && lines_.empty(); }
    void add(const Line& line) { lines_.push_back(line); }
    void end() { ended_ = true; }
    void close() { fd_.reset(); }

    std::size_t discard() {
        const std::size_t kept = written_ > 0 ? 1 : 0;
        const std::size_t count = lines_.size() - kept;
        lines_.resize(kept);
        return count;
    }

    /// Nobody reads any more.
    void abandon() {
        lines_.clear();
        ended_ = true;
    }

    /// As much as the socket takes now.
    void write() {
        while (!lines_.empty()) {
            const std::string_view rest = std::string_view(*lines_.front()).substr(written_);
            const ssize_t sent = ::send(fd_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
                return;
            }
            if (sent < 0) {
                abandon();
                return;
            }
            written_ += static_cast<std::size_t>(sent);
            if (written_ == lines_.front()->size()) {
                lines_.pop_front();
                written_ = 0;
            }
        }
    }

  private:
    UniqueFd fd_;
    std::deque<Line> lines_;
    std::size_t written_ = 0; ///< of the first line
    bool ended_ = false;
};

LineSender::LineSender() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!wake_) {
        throw_errno(errno, "eventfd");
    }
    thread_ = std::thread([this] { run(); });
}

LineSender::~LineSender() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake();
    thread_.join();
}

LineSender::Opened LineSender::open() {
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
        throw_errno(errno, "socketpair");
    }
    UniqueFd source(ends[0]);
    auto reader = std::make_shared<Reader>(UniqueFd(ends[1]));
    const std::lock_guard lock(mutex_);
    readers_.push_back(reader);
    wake();
    return {std::move(reader), std::move(source)};
}

LineSender::Sent LineSender::send(Reader& reader, const Line& line) {
    const std::lock_guard lock(mutex_);
    if (reader.ended()) {
        return Sent::reader_is_gone;
    }
    if (reader.waiting() >= max_waiting) {
        return Sent::too_far_behind;
    }
    reader.add(line);
    if (reader.waiting() == 1) {
        wake();
    }
    return Sent::yes;
}

std::size_t LineSender::discard(Reader& reader) {
    const std::lock_guard lock(mutex_);
    return reader.discard();
}

void LineSender::end(Reader& reader) {
    const std::lock_guard lock(mutex_);
    reader.end();
    wake();
}

void LineSender::wake() const {
    ::eventfd_write(wake_.get(), 1);
}

std::vector<pollfd> LineSender::wanted() const {
    std::vector<pollfd> all{{wake_.get(), POLLIN, 0}};
    for (const auto& reader : readers_) {
        const int events = reader->waiting() > 0 ? POLLOUT : 0;
        all.push_back({reader->fd(), static_cast<short>(events), 0});
    }
    return all;
}

/// `polled`: the wake-up, then the first of `readers_`, in their order; new ones may have come behind them.
void LineSender::serve(const std::vector<pollfd>& polled) {
    for (std::size_t i = 1; i < polled.size(); ++i) {
        Reader& reader = *readers_[i - 1];
        if ((polled[i].revents & (POLLHUP | POLLERR)) != 0) {
            reader.abandon();
        } else if ((polled[i].revents & POLLOUT) != 0) {
            reader.write();
        }
    }
    std::erase_if(readers_, [](const auto& reader) {
        if (reader->finished()) {
            reader->close();
        }
        return reader->finished();
    });
}

void LineSender::run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
        std::vector<pollfd> polled = wanted();
        lock.unlock();
        ::poll(polled.data(), polled.size(), -1);
        eventfd_t count = 0;
        ::eventfd_read(wake_.get(), &count);
        lock.lock();
        serve(polled);
    }
    for (const auto& reader : readers_) {
        reader->abandon();
        reader->close();
    }
}

} // namespace capsul
