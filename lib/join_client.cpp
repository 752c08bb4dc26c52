#include "lib/join_client.hpp"

#include "lib/error.hpp"
#include "lib/json.hpp"

#include <fmt/format.h>
#include <optional>

namespace capsul {
namespace {

using namespace std::chrono_literals;

constexpr auto connect_limit = 5s;
constexpr auto step_limit = 10s;

struct Connection {
    UniqueFd socket;
    std::unique_ptr<TlsChannel> channel;
};

Connection connect_to(const VpnAddress& address, const TlsContext& context) {
    std::optional<Error> last;
    for (const SocketAddress& one : look_up(address.host(), address.port())) {
        try {
            UniqueFd socket = connect_tcp(one, std::nullopt, within(connect_limit));
            auto channel = std::make_unique<TlsChannel>(context, socket.get(), TlsChannel::Role::client,
                                                        within(connect_limit));
            return {std::move(socket), std::move(channel)};
        } catch (const Error& error) {
            last = error;
        }
    }
    throw last.value_or(Error(ErrorCode::unreachable, "it has no address"));
}

Connection connect_to_first(const JoinCode& code, const TlsContext& context) {
    bool others_answer = false;
    std::string tried;
    for (const VpnAddress& address : code.addresses) {
        try {
            return connect_to(address, context);
        } catch (const Error& error) {
            others_answer = others_answer || error.code() == ErrorCode::verification;
            tried += fmt::format("{}{}: {}", tried.empty() ? "" : "; ", address.to_string(), error.what());
        }
    }
    if (others_answer) {
        throw Error(ErrorCode::verification,
                    "the host that answers has not given out this join code: " + tried,
                    "it may have another invitation open by now: make a new one there");
    }
    throw Error(
        ErrorCode::unreachable, "the host that gave out the join code does not answer: " + tried,
        fmt::format("the invitation may have been used, or be over: it ends at {} by the clock there; "
                    "or a packet filter on the way does not let this port through",
                    code.expires.to_string()));
}

/// What went wrong between the two answers, so that it is clear what is left to do.
[[noreturn]] void rethrow_from_hand_over(const Error& error) {
    if (error.code() != ErrorCode::unreachable && error.code() != ErrorCode::timeout) {
        throw error;
    }
    throw Error(error.code(),
                fmt::format("no word of whether the other host has taken this one in: {}", error.what()),
                "`capsulctl network peer list` there tells; if this host is missing, `network export` here "
                "and `network peer add` there do the rest");
}

} // namespace

JoinClient::JoinClient(const JoinCode& code)
    : code_(code), context_(TlsContext::of_secret(code.secret.bytes())) {
    Connection connection = connect_to_first(code, context_);
    socket_ = std::move(connection.socket);
    channel_ = std::move(connection.channel);
}

JoinAnswer JoinClient::answer(Deadline deadline) {
    auto answer = parse<JoinAnswer>(channel_->receive(most_join_answer_bytes, deadline));
    if (answer.problem) {
        throw answer.problem->to_error();
    }
    return answer;
}

VpnBundle JoinClient::hello(const NodeName& node) {
    const Deadline deadline = within(step_limit);
    channel_->send(dump_json(encode(JoinHello{node})), deadline);
    auto bundle = answer(deadline).bundle;
    if (!bundle) {
        throw Error(ErrorCode::internal, "the other host has answered without a bundle");
    }
    bundle->check();
    if (bundle->nodes.front().node.identity != code_.inviter) {
        throw Error(ErrorCode::verification, "the bundle is not of the host that the join code is of",
                    "make a new invitation there");
    }
    return std::move(*bundle);
}

void JoinClient::hand_over(const VpnBundle& own) {
    try {
        channel_->send(dump_json(encode(own)), within(step_limit));
        (void)answer(within(step_limit + taking_in_time));
    } catch (const Error& error) {
        rethrow_from_hand_over(error);
    }
}

} // namespace capsul
