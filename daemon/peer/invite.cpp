#include "daemon/peer/invite.hpp"

#include "daemon/peer/listener.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <fmt/format.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <thread>

namespace capsul::peer {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto step_limit = 10s;
constexpr std::size_t most_visitors = 64;
constexpr std::size_t most_from_one_place = 4; // behind one router there may be others
constexpr std::size_t longest_hello = 256;

/// Runs out when the invitation does, also while the host sleeps; what the clock is set to later does not
/// matter.
UniqueFd timer_until(const Timestamp& expires) {
    const auto left =
        expires.value() - std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    itimerspec when{};
    when.it_value.tv_sec = std::max<std::int64_t>(left.count(), 0);
    when.it_value.tv_nsec = 1; // zero would be never
    UniqueFd timer(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC));
    if (!timer || ::timerfd_settime(timer.get(), 0, &when, nullptr) != 0) {
        throw_errno(errno, "timerfd");
    }
    return timer;
}

UniqueFd listen_everywhere(std::uint16_t port) {
    try {
        return listen_tcp(SocketAddress("::", port));
    } catch (const Error& error) {
        if (error.code() == ErrorCode::in_use) {
            throw;
        }
        return listen_tcp(SocketAddress("0.0.0.0", port)); // a host without IPv6
    }
}

std::string inbox_name(const NodeName& node) {
    return "join-" + node.to_string();
}

void send(TlsChannel& channel, const JoinAnswer& answer) {
    channel.send(dump_json(encode(answer)), within(step_limit));
}

/// True when it is the timer's turn.
bool wait_for_event(const UniqueFd& listener, const UniqueFd& timer) {
    std::array<pollfd, 2> waiting{pollfd{timer.get(), POLLIN, 0}, pollfd{listener.get(), POLLIN, 0}};
    ::poll(waiting.data(), waiting.size(), -1);
    return waiting[0].revents != 0;
}

} // namespace

Invite::Invite(const Options& options)
    : folder_(options.folder), hosts_(options.hosts), file_(options.invitation),
      invitation_(parse<Invitation>(read_file(file_))), timer_(timer_until(invitation_.expires)),
      context_(TlsContext::of_secret(invitation_.secret.bytes())),
      listener_(listen_everywhere(invitation_.port)),
      visitors_(most_visitors, most_from_one_place, [this](const auto& visitor) { return serve(visitor); }) {}

void Invite::run() {
    while (!wait_for_event(listener_, timer_)) {
        if (auto connection = accept_one(listener_.get())) {
            visitors_.admit(std::move(connection->socket), connection->from);
        }
    }
    const std::lock_guard last(joining_);
    try {
        remove_file();
    } catch (const std::exception& error) {
        log_.tell(error.what());
        std::quick_exit(1); // not by way of main(), where all that threads still use would end
    }
    log_.tell("the invitation is over; nobody has used it");
    std::quick_exit(0);
}

/// It must not come back, whatever happens.
void Invite::remove_file() const {
    fs::remove(file_);
    sync_folder(file_.parent_path());
}

/// On a thread of its own; nothing may be thrown from here.
bool Invite::serve(const Visitors::Visitor& visitor) {
    try {
        TlsChannel channel(context_, visitor.socket(), TlsChannel::Role::server, within(handshake_limit));
        visitors_.settle(visitor);
        take_in_or_refuse(channel);
    } catch (const std::exception& error) {
        log_.tell(fmt::format("from {}: {}", visitor.from().to_string(), error.what()));
    }
    return false;
}

void Invite::take_in_or_refuse(TlsChannel& channel) {
    const std::unique_lock lock(joining_, std::try_to_lock);
    try {
        if (!lock) {
            throw Error(ErrorCode::busy, "another host is joining with this invitation just now",
                        "try again in some minutes: if that one gives up, the invitation is still there");
        }
        take_in(channel);
    } catch (const Error& error) {
        send(channel, {std::nullopt, Problem::from(error)});
        throw;
    }
}

void Invite::take_in(TlsChannel& channel) {
    VpnNode joining;
    joining.name = parse<JoinHello>(channel.receive(longest_hello, within(step_limit))).hello;
    VpnBundle bundle = folder_.own();
    check_free(bundle, joining);
    bundle.slice = invitation_.slice;
    send(channel, {std::move(bundle), std::nullopt});
    const std::string text = channel.receive(most_bundle_bytes, within(joining_time));
    check_joining(VpnBundle::from_text(text), joining.name);
    folder_.keep(inbox_name(joining.name), text);
    wait_for_capsuld(joining.name);
    remove_file(); // first: whatever becomes of the answer, it is used up
    log_.tell(fmt::format("host {} has joined", joining.name.to_string()));
    send(channel, {});
    std::quick_exit(0);
}

void Invite::check_free(const VpnBundle& own, const VpnNode& joining) const {
    for (const VpnStatement& known : own.nodes) {
        if (known.node.name == joining.name || known.node.identity == joining.identity) {
            throw Error(ErrorCode::exists,
                        fmt::format("host {} is in the VPN already", known.node.name.to_string()),
                        "a host joins once, with a name (--node) of its own");
        }
        if (known.node.slice.overlaps(invitation_.slice)) {
            throw Error(ErrorCode::in_use,
                        fmt::format("the slice {} of this invitation is that of host {} by now",
                                    invitation_.slice.to_string(), known.node.name.to_string()),
                        "make a new invitation");
        }
    }
    if (fs::exists(hosts_ / joining.name.to_string())) {
        throw Error(ErrorCode::exists,
                    fmt::format("host {} is in the VPN already", joining.name.to_string()));
    }
}

void Invite::check_joining(const VpnBundle& theirs, const NodeName& node) const {
    const VpnBundle own = folder_.own();
    const VpnNode& joining = theirs.nodes.front().node;
    if (theirs.id != own.id || theirs.subnet != own.subnet) {
        throw Error(ErrorCode::invalid, "the joining host tells of another VPN");
    }
    if (joining.name != node || joining.slice != invitation_.slice) {
        throw Error(ErrorCode::invalid,
                    fmt::format("the joining host is to be {} on {}, not {} on {}", node.to_string(),
                                invitation_.slice.to_string(), joining.name.to_string(),
                                joining.slice.to_string()),
                    "join without --slice: the invitation has one");
    }
    if (std::ranges::find(own.revoked, joining.identity) != own.revoked.end()) {
        throw Error(ErrorCode::denied, "the identity of the joining host was revoked");
    }
    check_free(own, joining);
}

/// It takes what it has taken in from the inbox last. What it has not, it must not take in later: the host
/// has been told that it is not in.
void Invite::wait_for_capsuld(const NodeName& node) const {
    const fs::path file = folder_.inbox_file(inbox_name(node));
    const fs::path taken_in = hosts_ / node.to_string();
    const Deadline deadline = within(taking_in_time);
    while (within(0s) < deadline) {
        const bool is_done = !fs::exists(file);
        if (fs::exists(taken_in)) {
            return;
        }
        if (is_done) {
            throw Error(ErrorCode::denied, "capsuld on the inviting host has not taken this host in",
                        "its journal there says why: journalctl --user -u capsuld");
        }
        std::this_thread::sleep_for(50ms);
    }
    fs::remove(file);
    if (fs::exists(taken_in)) {
        return;
    }
    throw Error(ErrorCode::timeout, "capsuld on the inviting host is not taking this host in",
                "see there whether it runs: systemctl --user status capsuld");
}

} // namespace capsul::peer
