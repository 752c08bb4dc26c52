#include "daemon/qmp_client.hpp"

#include "daemon/json_peer.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace capsul {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t line_limit = std::size_t{1} << 20;
constexpr std::chrono::milliseconds cancel_interval{100};
const std::string file_sets = "/dev/fdset/";

void check_cancelled(const Cancelled& cancelled, const std::string& what) {
    if (cancelled && cancelled()) {
        throw Error(ErrorCode::unreachable, what + ": QEMU ended before it answered");
    }
}

/// Tells when something appears in the folder of a path, or in the nearest parent there is yet.
class SocketWatch {
  public:
    explicit SocketWatch(const std::filesystem::path& path) : fd_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
        if (!fd_) {
            throw_errno(errno, "inotify");
        }
        std::filesystem::path folder = path.parent_path();
        while (::inotify_add_watch(fd_.get(), folder.c_str(), IN_CREATE | IN_MOVED_TO) < 0) {
            if (errno != ENOENT || folder == folder.parent_path()) {
                throw_errno(errno, folder.string());
            }
            folder = folder.parent_path();
        }
    }

    void wait(Deadline deadline) const {
        pollfd wanted{fd_.get(), POLLIN, 0};
        ::poll(&wanted, 1, poll_timeout(deadline));
    }

  private:
    UniqueFd fd_;
};

/// Connects as soon as somebody listens there.
UniqueFd wait_and_connect(const std::filesystem::path& socket, Deadline deadline,
                          const Cancelled& cancelled) {
    std::chrono::milliseconds pause{2};
    while (true) {
        const SocketWatch watch(socket); // before the attempt: what appears after it is seen
        try {
            return connect_peer(socket, deadline);
        } catch (const Error& error) {
            if (error.code() != ErrorCode::unreachable) {
                throw;
            }
        }
        check_cancelled(cancelled, socket.string());
        if (Clock::now() >= deadline) {
            throw Error(ErrorCode::timeout, socket.string() + ": QEMU did not open it in time");
        }
        if (std::filesystem::exists(std::filesystem::symlink_status(socket))) {
            // Bound but not listening yet, or left by a dead QEMU; no event tells when that changes.
            std::this_thread::sleep_for(std::min({pause, cancel_interval}));
            pause *= 2;
        } else {
            watch.wait(std::min(deadline, Clock::now() + cancel_interval));
        }
    }
}

} // namespace

/// The connection's state, shared by its reader thread and the callers. Ends once, for one reason.
class QmpClient::Session {
  public:
    Session(std::string name, UniqueFd fd, OnEvent on_event)
        : name_(std::move(name)), fd_(std::move(fd)), on_event_(std::move(on_event)) {}

    ~Session() = default;
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    static std::shared_ptr<Session> start(std::string name, UniqueFd fd, OnEvent on_event);
    void stop() noexcept;
    void wait_for_greeting(Deadline deadline, const Cancelled& cancelled);
    Json execute(const std::string& command, const Json& arguments, Deadline deadline,
                 const Cancelled& cancelled, int descriptor = -1);
    [[nodiscard]] bool connected() const noexcept { return !has_ended_; }
    void wait_until_ended(std::chrono::milliseconds limit) {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, limit, [this] { return ended_.has_value(); });
    }

  private:
    void read_until_end();
    void end(const Error& reason);
    using Lock = std::unique_lock<std::mutex>;
    template <class Predicate>
    void wait(Lock& lock, Deadline deadline, const Cancelled& cancelled, Predicate ready);
    void send(Lock& lock, const std::string& line, Deadline deadline, const Cancelled& cancelled,
              int descriptor);
    void handle_line(std::string_view line);
    void handle_greeting(const Json& message);
    void handle_event(const Json& message);
    void handle_reply(const Json& message);
    void emit(const std::string& event, const Json& data);

    const std::string name_;
    const UniqueFd fd_;
    const OnEvent on_event_;
    std::atomic<bool> has_ended_ = false;

    std::mutex mutex_; ///< of all below
    std::condition_variable changed_;
    std::optional<Error> ended_;
    bool greeted_ = false;
    bool negotiated_ = false; ///< qmp_capabilities was accepted: from here on events are let through
    bool sending_ = false;
    std::uint64_t last_id_ = 0;
    std::map<std::uint64_t, std::optional<Json>> replies_; ///< of the commands that somebody waits for
    std::thread reader_;
};

std::shared_ptr<QmpClient::Session> QmpClient::Session::start(std::string name, UniqueFd fd,
                                                              OnEvent on_event) {
    auto session = std::make_shared<Session>(std::move(name), std::move(fd), std::move(on_event));
    const std::lock_guard lock(session->mutex_);
    session->reader_ = std::thread([session] { session->read_until_end(); });
    return session;
}

void QmpClient::Session::stop() noexcept {
    end(Error(ErrorCode::unreachable, name_ + ": the connection was closed"));
    if (reader_.get_id() == std::this_thread::get_id()) {
        reader_.detach(); // a listener dropped the client; the thread keeps the session until it is out
    } else {
        reader_.join();
    }
}

/// Waits until `ready()` or the end of the connection, which throws its reason.
template <class Predicate>
void QmpClient::Session::wait(Lock& lock, Deadline deadline, const Cancelled& cancelled, Predicate ready) {
    while (!ready()) {
        if (ended_) {
            throw *ended_;
        }
        if (Clock::now() >= deadline) {
            throw Error(ErrorCode::timeout, name_ + ": QEMU did not answer in time");
        }
        if (cancelled) {
            lock.unlock();
            check_cancelled(cancelled, name_);
            lock.lock();
        }
        const Deadline next = cancelled ? Clock::now() + cancel_interval : deadline;
        changed_.wait_until(lock, std::min(deadline, next), [&] { return ready() || ended_.has_value(); });
    }
}

void QmpClient::Session::wait_for_greeting(Deadline deadline, const Cancelled& cancelled) {
    Lock lock(mutex_);
    wait(lock, deadline, cancelled, [&] { return greeted_; });
}

/// Writes one line; one caller at a time, so that lines do not mix.
void QmpClient::Session::send(Lock& lock, const std::string& line, Deadline deadline,
                              const Cancelled& cancelled, int descriptor) {
    wait(lock, deadline, cancelled, [&] { return !sending_ || ended_; });
    if (ended_) {
        throw *ended_;
    }
    sending_ = true;
    lock.unlock();
    std::optional<Error> failure;
    try {
        write_peer(fd_.get(), line, deadline, name_, {}, descriptor);
    } catch (const Error& error) {
        failure = error;
    }
    if (failure) {
        end(*failure); // part of a line may be out: nothing sensible can follow it
    }
    lock.lock();
    sending_ = false;
    changed_.notify_all();
    if (failure) {
        throw *ended_; // what the reader met first, if it met something, tells more than that writing failed
    }
}

Json QmpClient::Session::execute(const std::string& command, const Json& arguments, Deadline deadline,
                                 const Cancelled& cancelled, int descriptor) {
    Lock lock(mutex_);
    const std::uint64_t id = ++last_id_;
    const Json message{{"execute", command}, {"arguments", arguments}, {"id", id}};
    replies_.emplace(id, std::nullopt);
    std::optional<Json> reply;
    try {
        send(lock, dump_json(message) + "\n", deadline, cancelled, descriptor);
        wait(lock, deadline, cancelled, [&] { return replies_.at(id).has_value(); });
        reply = std::move(replies_.at(id));
    } catch (...) {
        replies_.erase(id);
        throw;
    }
    replies_.erase(id);
    if (const auto error = reply->find("error"); error != reply->end()) {
        const bool is_missing = peer_words(*error, "class") == "DeviceNotFound";
        throw Error(is_missing ? ErrorCode::not_found : ErrorCode::internal,
                    name_ + ": " + command + ": " + peer_words(*error, "desc"));
    }
    return reply->at("return");
}

void QmpClient::Session::end(const Error& reason) {
    const std::lock_guard lock(mutex_);
    if (!ended_) {
        ended_ = reason;
        has_ended_ = true;
        ::shutdown(fd_.get(), SHUT_RDWR); // wakes the reader
    }
    changed_.notify_all();
}

/// The reader thread: ends with the connection.
void QmpClient::Session::read_until_end() {
    try {
        std::string buffer;
        std::size_t searched = 0;
        while (read_peer(fd_.get(), buffer, Deadline::max(), name_)) {
            std::size_t line_start = 0;
            for (std::size_t newline = 0; (newline = buffer.find('\n', searched)) != std::string::npos;) {
                handle_line(std::string_view(buffer).substr(line_start, newline - line_start));
                line_start = searched = newline + 1;
            }
            buffer.erase(0, line_start);
            searched = buffer.size();
            if (buffer.size() > line_limit) {
                throw Error(ErrorCode::internal, name_ + ": sent a line longer than 1 MiB");
            }
        }
        end(Error(ErrorCode::unreachable, name_ + ": QEMU closed the connection"));
    } catch (const Error& error) {
        end(error);
    } catch (const std::exception& error) {
        end(Error(ErrorCode::internal, name_ + ": " + error.what()));
    }
    emit("", Json::object());
}

void QmpClient::Session::handle_line(std::string_view line) {
    if (line.size() > line_limit) {
        throw Error(ErrorCode::internal, name_ + ": sent a line longer than 1 MiB");
    }
    const Json message = parse_peer(line, name_);
    if (!message.is_object()) {
        throw Error(ErrorCode::internal, name_ + ": sent something that is not QMP");
    }
    if (!greeted_) {
        handle_greeting(message);
    } else if (message.contains("event")) {
        handle_event(message);
    } else if (message.contains("return") || message.contains("error")) {
        handle_reply(message);
    } else {
        throw Error(ErrorCode::internal, name_ + ": sent something that is not QMP");
    }
}

void QmpClient::Session::handle_greeting(const Json& message) {
    if (!message.contains("QMP")) {
        throw Error(ErrorCode::internal, name_ + ": does not speak QMP");
    }
    const std::lock_guard lock(mutex_);
    greeted_ = true;
    changed_.notify_all();
}

void QmpClient::Session::handle_event(const Json& message) {
    const std::string event = peer_words(message, "event");
    const auto data = message.find("data");
    if (!event.empty()) { // an empty name means the end, which is not QEMU's to say
        emit(event, data == message.end() ? Json::object() : *data);
    }
}

void QmpClient::Session::handle_reply(const Json& message) {
    const auto id = message.find("id");
    if (id == message.end() || !id->is_number_unsigned()) {
        return; // an answer to nothing that was asked
    }
    const std::lock_guard lock(mutex_);
    const auto waiting = replies_.find(id->get<std::uint64_t>());
    if (waiting != replies_.end()) {
        waiting->second = message;
        negotiated_ = negotiated_ || message.contains("return"); // qmp_capabilities is the first command
        changed_.notify_all();
    }
}

/// Calls the listener, but not before the constructor has succeeded: until then that tells how it ended.
void QmpClient::Session::emit(const std::string& event, const Json& data) {
    {
        const std::lock_guard lock(mutex_);
        if (!negotiated_ || !on_event_) {
            return;
        }
    }
    try {
        on_event_(event, data);
    } catch (const std::exception&) {
        // The listener's failure is its own; the connection goes on.
    }
}

QmpClient::QmpClient(const std::filesystem::path& socket, std::chrono::milliseconds limit, OnEvent on_event,
                     const std::function<bool()>& cancelled) {
    const Deadline deadline = Clock::now() + limit;
    session_ =
        Session::start(socket.string(), wait_and_connect(socket, deadline, cancelled), std::move(on_event));
    try {
        session_->wait_for_greeting(deadline, cancelled);
        session_->execute("qmp_capabilities", Json::object(), deadline, cancelled);
    } catch (...) {
        session_->stop();
        throw;
    }
}

QmpClient::~QmpClient() {
    session_->stop();
}

Json QmpClient::execute(const std::string& command, const Json& arguments, std::chrono::milliseconds limit) {
    const std::shared_ptr<Session> session = session_; // a listener may destroy the client meanwhile
    return session->execute(command, arguments, Clock::now() + limit, {});
}

void QmpClient::give(const std::string& name, int descriptor, std::chrono::milliseconds limit) {
    const std::shared_ptr<Session> session = session_;
    session->execute("getfd", {{"fdname", name}}, Clock::now() + limit, {}, descriptor);
}

std::string QmpClient::give_file(int descriptor, std::chrono::milliseconds limit) {
    const std::shared_ptr<Session> session = session_;
    const Json set = session->execute("add-fd", Json::object(), Clock::now() + limit, {}, descriptor);
    const auto number = set.is_object() ? set.find("fdset-id") : set.end();
    if (number == set.end() || !number->is_number_integer()) {
        throw Error(ErrorCode::internal, "QEMU's answer to add-fd is not what it should be");
    }
    return file_sets + std::to_string(number->get<std::int64_t>());
}

void QmpClient::take_file(const std::string& file, std::chrono::milliseconds limit) {
    execute("remove-fd", {{"fdset-id", std::stoll(file.substr(file_sets.size()))}}, limit);
}

bool QmpClient::connected() const noexcept {
    return session_->connected();
}

void QmpClient::wait_until_ended(std::chrono::milliseconds limit) {
    session_->wait_until_ended(limit);
}

} // namespace capsul
