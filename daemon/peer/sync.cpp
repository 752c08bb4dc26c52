#include "daemon/peer/sync.hpp"

#include "daemon/peer/echo.hpp"
#include "daemon/peer/listener.hpp"
#include "daemon/peer/measurement.hpp"
#include "lib/error.hpp"
#include "lib/vpn_sync.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <poll.h>
#include <thread>

namespace capsul::peer {
namespace {

using namespace std::chrono_literals;

constexpr auto exchange_limit = 10s;
constexpr std::size_t most_known = 48;
constexpr std::size_t most_of_a_host = 2; // it may check while it asks
constexpr std::size_t most_strangers = 16;

} // namespace

Sync::Sync(const Options& options)
    : own_address_(IpAddress::parse(options.listen.host())), port_(options.listen.port()),
      identity_(PrivateIdentity::parse(read_file(options.identity))), folder_(options.folder),
      reachability_(options.status),
      members_(TlsContext::of_identity(identity_,
                                       [this](const Identity& who) {
                                           return who != identity_.identity() &&
                                                  member_of(folder_.own(), who).has_value();
                                       })),
      listener_(listen_tcp(SocketAddress(own_address_.to_string(), port_))),
      echoes_(echo_socket(own_address_, port_)),
      known_(most_known, most_of_a_host, [this](const auto& visitor) { return serve(visitor, known_); }),
      strangers_(most_strangers, 1, [this](const auto& visitor) { return serve(visitor, strangers_); }) {
    folder_.sweep();
}

void Sync::answer() {
    for (;;) {
        pollfd waiting{listener_.get(), POLLIN, 0};
        ::poll(&waiting, 1, -1);
        if (auto connection = accept_one(listener_.get())) {
            Visitors& visitors = is_of_host(connection->from) ? known_ : strangers_;
            visitors.admit(std::move(connection->socket), connection->from);
        }
    }
}

void Sync::answer_echoes() {
    peer::answer_echoes(echoes_, [this](const IpAddress& from) { return is_of_host(from); });
}

bool Sync::is_of_host(const IpAddress& address) {
    const std::lock_guard lock(mutex_);
    return host_addresses_.contains(address);
}

/// On a thread of its own; nothing may be thrown from here.
bool Sync::serve(const Visitors::Visitor& visitor, Visitors& visitors) {
    try {
        const Deadline deadline = within(exchange_limit);
        TlsChannel channel(members_, visitor.socket(), TlsChannel::Role::server, within(handshake_limit));
        visitors.settle(visitor);
        exchange(channel, deadline);
        return true;
    } catch (const std::exception& error) {
        log_.tell(fmt::format("from {}: {}", visitor.from().to_string(), error.what()));
        return false;
    }
}

/// A host that can send in the name of other addresses still has only this many turns at once.
class Sync::Turn {
  public:
    Turn(Sync& sync, const NodeName& node) : sync_(sync), node_(node) {
        const std::lock_guard lock(sync_.mutex_);
        if (sync_.speaking_[node_] >= static_cast<int>(most_of_a_host)) {
            throw Error(ErrorCode::busy, "speaks to this host already");
        }
        ++sync_.speaking_[node_];
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
        const std::lock_guard lock(sync_.mutex_);
        if (--sync_.speaking_[node_] == 0) {
            sync_.speaking_.erase(node_);
        }
    }

  private:
    Sync& sync_;
    const NodeName node_;
};

/// The answering side's part. It speaks first, so that who asks hears at once when it is not welcome.
void Sync::exchange(TlsChannel& channel, Deadline deadline) {
    const auto node = member_of(folder_.own(), channel.peer());
    if (!node) {
        throw Error(ErrorCode::verification, "was revoked a moment ago");
    }
    const Turn turn(*this, *node);
    channel.send(folder_.own_text(), deadline);
    const std::string said = channel.receive(most_bundle_bytes, deadline);
    if (said == measure_request) {
        serve_measurement(channel, deadline);
        return;
    }
    take(*node, said);
    channel.send("", deadline);
    if (reachability_.succeeded(*node, std::nullopt)) {
        note_answer(*node);
    }
    reachability_.write();
}

void Sync::take(const NodeName& from, const std::string& text) {
    const VpnBundle theirs = VpnBundle::from_text(text);
    const VpnBundle own = folder_.own();
    if (theirs.id != own.id) {
        throw Error(ErrorCode::invalid, fmt::format("host {} tells of another VPN", from.to_string()));
    }
    if (says_more(theirs, own)) {
        folder_.keep(from.to_string(), text);
    }
}

void Sync::ask_all() {
    const std::vector<Member> members = other_members(folder_.own(), identity_.identity());
    std::vector<NodeName> names;
    std::set<IpAddress> addresses;
    for (const Member& member : members) {
        names.push_back(member.name);
        addresses.insert(member.address);
    }
    reachability_.keep_only(names);
    {
        const std::lock_guard lock(mutex_);
        host_addresses_ = std::move(addresses);
    }
    std::vector<std::jthread> asking; // ends when all have
    for (const Member& member : members) {
        asking.emplace_back([&] { ask(member); });
    }
    asking.clear();
    reachability_.write();
}

/// On a thread of its own; nothing may be thrown from here.
void Sync::ask(const Member& member) {
    try {
        if (reachability_.succeeded(member.name, ask_in_time(member))) {
            note_answer(member.name);
        }
    } catch (const std::exception& error) {
        if (reachability_.failed(member.name, error.what())) {
            log_.tell(fmt::format("host {} at {}: {}", member.name.to_string(), member.address.to_string(),
                                  error.what()));
        }
    }
}

double Sync::ask_in_time(const Member& member) {
    const Deadline deadline = within(exchange_limit);
    MemberConnection connection(identity_, member, own_address_, port_, deadline);
    TlsChannel& channel = connection.channel();
    const std::string theirs = channel.receive(most_bundle_bytes, deadline);
    channel.send(folder_.own_text(), deadline);
    (void)channel.receive(0, deadline); // it has taken ours
    take(member.name, theirs);
    return connection.rtt_ms();
}

void Sync::note_answer(const NodeName& node) {
    log_.tell(fmt::format("host {} answers", node.to_string()));
}

} // namespace capsul::peer
