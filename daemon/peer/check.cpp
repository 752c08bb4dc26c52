#include "daemon/peer/check.hpp"

#include "daemon/peer/echo.hpp"
#include "daemon/peer/measurement.hpp"
#include "daemon/peer/member.hpp"
#include "daemon/peer/peer_folder.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"
#include "lib/vpn_check.hpp"

#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <thread>

namespace capsul::peer {
namespace {

using namespace std::chrono_literals;

constexpr auto measurement_limit = 10s;
constexpr auto echo_limit = 2s;
constexpr int echoes = 3;
constexpr std::size_t smallest = 36; // of a ping, which did get through

/// This host.
struct Self {
    IpAddress address;
    std::uint16_t port; ///< of all hosts
    PrivateIdentity identity;
    VpnBundle bundle;
};

/// Where tincd of the other host should answer, and whether anything does.
std::string knock(const VpnAddress& at, Deadline deadline) {
    try {
        std::optional<Error> last;
        for (const SocketAddress& one : look_up(at.host(), at.port())) {
            try {
                (void)connect_tcp(one, std::nullopt, deadline);
                return {};
            } catch (const Error& error) {
                last = error;
            }
        }
        return last ? last->what() : "it has no address";
    } catch (const Error& error) {
        return error.what();
    }
}

/// Tries one host.
class Trial {
  public:
    Trial(const Self& self, const VpnNode& node, Member member)
        : self_(self), node_(node), member_(std::move(member)) {}

    /// All but what would disturb, or be disturbed by, the trials of other hosts. Throws nothing.
    void try_reach() {
        try_handshake();
        try {
            if (try_ping()) {
                try_mtu();
            }
        } catch (const Error& error) {
            add("ping", Severity::warning, fmt::format("not tried: {}", error.what()), {});
        }
    }
    void try_throughput() {
        if (!welcome_) {
            return;
        }
        try {
            const Deadline deadline = within(measurement_limit);
            MemberConnection connection(self_.identity, member_, self_.address, self_.port, deadline);
            (void)connection.channel().receive(most_bundle_bytes, deadline);
            const Throughput found = measure(connection.channel(), deadline);
            add_value("download", found.download, fmt::format("{:.0f} Mbit/s from it", found.download));
            add_value("upload", found.upload, fmt::format("{:.0f} Mbit/s to it", found.upload));
        } catch (const Error& error) {
            add("download", Severity::failure,
                fmt::format("the connection fails under load: {}", error.what()),
                "if the mtu is right, the link between the hosts loses packets");
        }
    }
    std::vector<PeerFinding> findings;

  private:
    void add(const char* check, Severity severity, std::string message, std::string hint) {
        findings.push_back({node_.name, check, severity, std::move(message), std::move(hint), {}});
    }
    void add_value(const char* check, double value, std::string message) {
        findings.push_back({node_.name, check, Severity::ok, std::move(message), {}, value});
    }
    void try_handshake() {
        try {
            const Deadline begin = within({});
            const Deadline deadline = begin + handshake_limit;
            MemberConnection connection(self_.identity, member_, self_.address, self_.port, deadline);
            (void)connection.channel().receive(most_bundle_bytes, deadline);
            welcome_ = true;
            const std::chrono::duration<double, std::milli> took = within({}) - begin;
            add_value("handshake", took.count(),
                      fmt::format("has shown its identity, in {:.1f} ms", took.count()));
        } catch (const Error& error) {
            explain(error);
        }
    }
    /// Why the host is not reached through the VPN, as far as it can be seen from outside of it.
    void explain(const Error& error) {
        std::vector<std::string> silent;
        std::string answering;
        const Deadline deadline = within(handshake_limit);
        for (const VpnAddress& at : node_.addresses) {
            const std::string problem = knock(at, deadline);
            if (problem.empty()) {
                answering = at.to_string();
            } else {
                silent.push_back(fmt::format("{} ({})", at.to_string(), problem));
            }
        }
        const std::string message = fmt::format("no answer through the VPN: {}", error.what());
        if (error.code() == ErrorCode::verification) {
            add("handshake", Severity::failure, message,
                "one of the two has removed the other: `capsulctl network peer list` tells, on both");
        } else if (node_.addresses.empty()) {
            add("handshake", Severity::failure, message,
                "it has no address to be called at, so it has to call a host that has: look at it there");
        } else if (answering.empty()) {
            add("handshake", Severity::failure,
                fmt::format("{}; nor outside of it at {}", message, fmt::join(silent, ", ")),
                "is the host on, its VPN started, and its port open for TCP and UDP?");
        } else {
            add("handshake", Severity::failure, fmt::format("{}; but {} answers", message, answering),
                "its tincd does not let this host in: has it been removed there? If not, look at the "
                "journal of its unit capsul-vpn-NAME.service");
        }
    }
    bool try_ping() {
        Echo echo(self_.address, member_.address, self_.port);
        for (int i = 0; i < echoes; ++i) {
            if (const auto took = echo.ask(0, within(echo_limit))) {
                add_value("ping", took->count(), fmt::format("there and back in {:.1f} ms", took->count()));
                return true;
            }
        }
        add("ping", Severity::failure, fmt::format("{} gives no packet back", member_.address.to_string()),
            welcome_ ? "small packets get lost, or a packet filter of the administrator's drops UDP there"
                     : "");
        return false;
    }
    bool carries(std::size_t size) const {
        Echo echo(self_.address, member_.address, self_.port);
        return echo.ask(size, within(echo_limit)) || echo.ask(size, within(echo_limit));
    }
    void try_mtu() {
        const auto mtu = static_cast<std::size_t>(self_.bundle.mtu);
        if (carries(mtu)) {
            add_value("mtu", self_.bundle.mtu, fmt::format("packets of {} bytes get through whole", mtu));
            return;
        }
        std::size_t through = smallest;
        std::size_t stuck = mtu;
        while (through + 1 < stuck) {
            const std::size_t middle = (through + stuck) / 2;
            (carries(middle) ? through : stuck) = middle;
        }
        add("mtu", Severity::warning,
            fmt::format("packets of the VPN's {} bytes do not get through whole: {} do", mtu, through),
            fmt::format(
                "TCP finds that out and goes on; made anew with --mtu {}, the VPN loses no time over it",
                through));
        findings.back().value = static_cast<double>(through);
    }

    const Self& self_;
    const VpnNode& node_;
    const Member member_;
    bool welcome_ = false;
};

const VpnNode& node_of(const VpnBundle& bundle, const Member& member) {
    return std::ranges::find(bundle.nodes, member.identity,
                             [](const VpnStatement& one) { return one.node.identity; })
        ->node;
}

} // namespace

void check(const Options& options) {
    const Self self{IpAddress::parse(options.listen.host()), options.listen.port(),
                    PrivateIdentity::parse(read_file(options.identity)), PeerFolder(options.folder).own()};
    std::vector<Trial> trials;
    for (Member& member : other_members(self.bundle, self.identity.identity())) {
        const VpnNode& node = node_of(self.bundle, member);
        trials.emplace_back(self, node, std::move(member));
    }
    {
        std::vector<std::jthread> trying; // ends when all have
        for (Trial& trial : trials) {
            trying.emplace_back([&] { trial.try_reach(); });
        }
    }
    PeerFindings found;
    for (Trial& trial : trials) {
        trial.try_throughput();
        std::ranges::move(trial.findings, std::back_inserter(found.findings));
    }
    replace_file(options.result, dump_json(encode(found), 1) + "\n");
}

} // namespace capsul::peer
