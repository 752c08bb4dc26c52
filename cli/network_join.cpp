// network join: by a file, by ssh to a host of the VPN, by a code.
#include "cli/bundle_file.hpp"
#include "cli/commands.hpp"
#include "cli/input_file.hpp"
#include "cli/network_view.hpp"
#include "cli/remote_host.hpp"
#include "cli/terminal.hpp"
#include "cli/vpn_options.hpp"
#include "lib/join_client.hpp"
#include "lib/vpn_calls.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <functional>
#include <memory>
#include <optional>
#include <unistd.h>

namespace capsul::cli {
namespace {

struct JoinFlags {
    std::string word; ///< a code or, with --from, the network's name there
    std::string file;
    std::string from;
    std::string as;
    VpnFlags vpn;
    bool no_start = false;
    bool no_autostart = false;
};

/// What joining asks of a host that is in the VPN.
struct Member {
    std::string where;
    Name network;                                    ///< as it is called there
    std::function<VpnBundle(const NodeName&)> hello; ///< keeps a slice for this host
    std::function<void(const VpnBundle&)> hand_over; ///< has this host known there
};

Name local_name(const JoinFlags& flags, const Name& there) {
    return flags.as.empty() ? there : parse_option<Name>("--as", flags.as);
}

NetworkJoin join_call(const JoinFlags& flags, VpnBundle bundle, const Name& name, const VpnWishes& wishes) {
    NetworkJoin call;
    call.bundle = std::move(bundle);
    call.name = name;
    call.vpn = wishes;
    call.start = !flags.no_start;
    call.autostart = !flags.no_autostart;
    return call;
}

void tell_joined(Session& session, const NetworkJoin& call, const Network& network) {
    const std::string subject = network_subject(network.name);
    session.note(subject + (call.start ? ": joined and running" : ": joined"));
    if (call.vpn.addresses.empty()) {
        session.note(subject + ": without --address this host calls the others, and none calls it");
    }
}

NodeName own_node(const VpnWishes& wishes) {
    if (wishes.node) {
        return *wishes.node;
    }
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) {
        throw_errno(errno, "the name of this host");
    }
    return NodeName::of_host(name.data());
}

/// Before the other host is asked for anything.
void refuse_existing(Session& session, const Name& name) {
    const std::vector<Network> networks = session.client().call(NetworkList{});
    if (std::ranges::find(networks, name, &Network::name) != networks.end()) {
        throw Error(
            ErrorCode::exists, "exists already",
            fmt::format("--as gives it another name here; after a join that was cut short, `capsulctl "
                        "network delete {}`, or hand over what `capsulctl network export {}` prints",
                        name.to_string(), name.to_string()));
    }
}

/// Whether the other host may have taken in what it was told, although that failed here.
bool is_uncertain(const Error& error) {
    return error.code() == ErrorCode::unreachable || error.code() == ErrorCode::timeout ||
           error.code() == ErrorCode::internal;
}

/// Deletes the network that was made, since the other host has not been told of it, and throws `cause`.
[[noreturn]] void undo(Session& session, const Name& name, const NodeName& node, const Error& cause) {
    try {
        session.run(NetworkDelete{name}, network_subject(name));
    } catch (const Error& error) {
        throw Error(cause.code(),
                    fmt::format("{}; what was made here is still there: {}", cause.what(), error.what()),
                    fmt::format("capsulctl network delete {}", name.to_string()));
    }
    const std::string also =
        fmt::format("where `capsulctl network peer list` there has {0} by now, `capsulctl "
                    "network peer rm` it before the next try",
                    node.to_string());
    throw Error(cause.code(), fmt::format("{}; what was made here is deleted again", cause.what()),
                is_uncertain(cause) ? also : cause.hint());
}

void join_through(Session& session, const JoinFlags& flags, const Member& member) {
    VpnWishes wishes = wishes_from(flags.vpn);
    const NodeName node = own_node(wishes);
    wishes.node = node; // the one that the other host keeps a slice for
    const Name name = local_name(flags, member.network);
    const std::string subject = network_subject(name);
    about(subject, [&] {
        refuse_existing(session, name);
        session.note(fmt::format("{}: asking {} to let in {}", subject, member.where, node.to_string()));
        const NetworkJoin call = join_call(flags, member.hello(node), name, wishes);
        const Network network = session.run(call, subject);
        try {
            member.hand_over(session.run(NetworkExport{name, {}}, subject));
        } catch (const Error& error) {
            undo(session, name, node, error);
        }
        tell_joined(session, call, network);
        print_made<Network>(session.out(), session.output_options(), network, network_columns());
    });
}

/// A program's `--json` is its own; what the other capsulctl says on standard error is to look like ours.
std::vector<std::string> with_form(const Session& session, std::vector<std::string> words) {
    words.emplace_back(session.wants_json() ? "--json" : "--quiet");
    return words;
}

Member member_by_ssh(const Session& session, const JoinFlags& flags) {
    const auto url = parse_option<SshUrl>("--from", flags.from);
    const Name network = Name::parse(flags.word);
    const std::string& name = network.to_string();
    const auto hello = [&session, url, name](const NodeName& node) {
        const std::vector<std::string> words{"network", "export", name, "--for", node.to_string()};
        const std::string text = run_capsulctl_at(url, with_form(session, words), "", most_bundle_bytes);
        return parse_bundle(url.to_string(), text);
    };
    const auto hand_over = [&session, url, name](const VpnBundle& own) {
        const std::vector<std::string> words{"network", "peer", "add", name, "-"};
        static_cast<void>(
            run_capsulctl_at(url, with_form(session, words), bundle_text(own), most_bundle_bytes));
    };
    return {url.to_string(), network, hello, hand_over};
}

/// On the command line other users of this host see it.
std::string code_from(const std::string& word) {
    constexpr std::size_t most_code_bytes = std::size_t{16} << 10U;
    std::string text = word;
    if (word == "-") {
        text = can_ask() ? ask("The code:", most_code_bytes) : read_input("CODE", word, most_code_bytes);
    }
    return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

/// The other host waits, on one connection, until this one has made its network.
Member member_by_code(const std::string& text) {
    const auto code = JoinCode::parse(text);
    const auto client = std::make_shared<std::optional<JoinClient>>();
    const auto hello = [code, client](const NodeName& node) {
        client->emplace(code);
        return (*client)->hello(node);
    };
    const auto hand_over = [client](const VpnBundle& own) { (*client)->hand_over(own); };
    return {code.addresses.front().to_string(), code.network, hello, hand_over};
}

void join_by_file(Session& session, const JoinFlags& flags) {
    const VpnWishes wishes = wishes_from(flags.vpn);
    VpnBundle bundle = read_bundle("--file", flags.file);
    const Name name = local_name(flags, bundle.network);
    const std::string other = bundle.nodes.front().node.name.to_string();
    const Name there = bundle.network;
    const NetworkJoin call = join_call(flags, std::move(bundle), name, wishes);
    about(network_subject(name), [&] {
        const Network network = session.run(call, network_subject(name));
        tell_joined(session, call, network);
        session.note(fmt::format("{}: {} must be told: give what `capsulctl network export {}` prints to "
                                 "`capsulctl network peer add {} -` there",
                                 network_subject(name), other, name.to_string(), there.to_string()));
        print_made<Network>(session.out(), session.output_options(), network, network_columns());
    });
}

void join(Session& session, const JoinFlags& flags) {
    if (!flags.file.empty()) {
        if (!flags.from.empty() || !flags.word.empty()) {
            throw Error(ErrorCode::invalid, "--file: goes with neither a name, a code nor --from",
                        "--as gives the network another name here");
        }
        join_by_file(session, flags);
        return;
    }
    if (flags.word.empty()) {
        throw Error(ErrorCode::invalid,
                    flags.from.empty() ? "needs a code, NAME --from, or --file"
                                       : "--from: needs the name of the network there",
                    "`capsulctl network join --help` shows the three ways");
    }
    join_through(session, flags,
                 flags.from.empty() ? member_by_code(code_from(flags.word)) : member_by_ssh(session, flags));
}

} // namespace

void add_network_join(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "join", "Join a VPN that is on another host, in one of three ways",
        "capsulctl network join mesh --from ssh://alice@host-a --address 192.0.2.2    # runs capsulctl "
        "there\n"
        "capsulctl network join -                    # asks for the code that `capsulctl network invite "
        "mesh` printed\n"
        "capsulctl network join --file host_b.json   # of `capsulctl network export mesh --for host_b` "
        "there;\n"
        "capsulctl network export mesh host_b.json   # and back to `capsulctl network peer add mesh` there");
    auto flags = std::make_shared<JoinFlags>();
    command.add_option("NAME", flags->word,
                       "A code, - to be asked for it or have it read from standard input, where nobody else "
                       "sees it; with --from, the network's name there");
    add_text(command, "--from", flags->from, "ssh://USER@HOST[:PORT]",
             "A host of the VPN that ssh gets into");
    add_text(command, "--file", flags->file, "FILE",
             "What a host of the VPN has exported; - for standard input");
    add_text(command, "--as", flags->as, "NAME", "What it is called here (default: as there)");
    add_vpn_options(command, flags->vpn);
    command.add_flag("--no-start", flags->no_start, "Join it, but do not start it");
    command.add_flag("--no-autostart", flags->no_autostart, "Do not start it when the host boots");
    prints_table<Network>(session, command, network_columns());
    command.callback([&session, flags] { join(session, *flags); });
}

} // namespace capsul::cli
