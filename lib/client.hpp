// The daemon's API from the caller's side. One connection, used from one thread.
#pragma once

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/operation.hpp"
#include "lib/route.hpp"

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace capsul {

/// Throws `error`, which the decoding of an answer met, as one that is not the caller's mistake.
[[noreturn]] void throw_bad_answer(const Error& error);

template <class T>
[[nodiscard]] T decode_answer(const Json& answer) {
    try {
        return decode<T>(answer);
    } catch (const Error& error) {
        throw_bad_answer(error);
    }
}

/// There is no daemon, or it has gone (`unreachable`): no other call fares better. Not what an operation says
/// that found another host `unreachable`.
class NoDaemon : public Error {
  public:
    NoDaemon(const std::string& message, std::string hint)
        : Error(ErrorCode::unreachable, message, std::move(hint)) {}
};

class Client {
  public:
    /// Told of each change of an operation that call() waits for.
    using OnProgress = std::function<void(const Operation&)>;
    /// Told of the bytes sent so far.
    using OnSent = std::function<void(std::uint64_t)>;
    /// Takes a piece of a stream; returning false ends it.
    using Sink = std::function<bool(std::string_view)>;

    /// Does not connect yet. Every call below throws what the daemon answers as an Error, and NoDaemon
    /// when there is none (with a hint how to start one) or its answer does not begin for as long as
    /// `patience`.
    explicit Client(std::filesystem::path socket,
                    std::chrono::milliseconds patience = std::chrono::minutes(1));
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    /// Makes the call and returns its result; where that is an operation, follows it to its end.
    template <Call C>
    typename C::Result call(const C& call, const OnProgress& on_progress = {}) {
        const Json answer = send(C::route, encode(call));
        if constexpr (C::route.answer == Answer::operation) {
            return decode_answer<typename C::Result>(follow(decode_answer<Operation>(answer), on_progress));
        } else {
            return decode_answer<typename C::Result>(answer);
        }
    }

    /// Starts the operation and does not wait for it.
    template <Call C>
    Operation begin(const C& call) {
        static_assert(C::route.answer == Answer::operation);
        return decode_answer<Operation>(send(C::route, encode(call)));
    }

    /// The result of an operation; throws its error when it fails.
    Json follow(const Operation& started, const OnProgress& on_progress);

    /// A file's content, whole or an Error.
    template <Call C>
    void download(const C& call, const Sink& sink) {
        static_assert(C::route.answer == Answer::download);
        stream_target(make_target(C::route, encode(call)), sink);
    }

    template <Call C>
    void stream(const C& call, const Sink& sink) {
        static_assert(C::route.answer == Answer::stream);
        stream_target(make_target(C::route, encode(call)), sink);
    }

    /// A two-way byte stream to whatever the call names; this client is of no use afterwards.
    template <Call C>
    UniqueFd tunnel(const C& call) {
        static_assert(C::route.answer == Answer::tunnel);
        return open_tunnel(make_target(C::route, encode(call)));
    }

    /// Sends what `fd` (a file, or a pipe) holds up to its end.
    template <Call C>
    typename C::Result upload(const C& call, int fd, const OnSent& on_sent = {}) {
        static_assert(C::route.answer == Answer::upload);
        return decode_answer<typename C::Result>(
            upload_file(make_target(C::route, encode(call)), fd, on_sent));
    }

  private:
    Json send(const Route& route, const Json& call);
    void stream_target(const RequestTarget& target, const Sink& sink);
    UniqueFd open_tunnel(const RequestTarget& target);
    Json upload_file(const RequestTarget& target, int fd, const OnSent& on_sent);

    class Connection;
    std::unique_ptr<Connection> connection_;
};

} // namespace capsul
