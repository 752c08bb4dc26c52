// The other hosts of a VPN: network peer list, add, rm, sync.
#include "cli/bundle_file.hpp"
#include "cli/commands.hpp"
#include "cli/network_view.hpp"
#include "cli/targets.hpp"
#include "cli/vpn_view.hpp"
#include "lib/vpn_calls.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <memory>

namespace capsul::cli {
namespace {

/// Throws Error (wrong_state) when the network is no VPN, or broken.
std::vector<VpnPeer> peers_of(const Network& network) {
    if (!network.spec) {
        throw Error(ErrorCode::wrong_state,
                    "is broken: " + network.reason.value_or("its record cannot be used"));
    }
    if (!network.vpn) {
        throw Error(ErrorCode::wrong_state, fmt::format("is a {} network, which is of this host only",
                                                        to_string(network.spec->type)));
    }
    return network.vpn->peers;
}

void list(Session& session, const std::string& word) {
    const Name name = Name::parse(word);
    about(network_subject(name), [&] {
        const std::vector<VpnPeer> peers = peers_of(session.client().call(NetworkShow{name}));
        print_list<VpnPeer>(session.out(), session.output_options(), peers, peer_columns());
        if (peers.empty() && !session.wants_data()) {
            session.note(
                fmt::format("network {0}: no other host is in it yet; `capsulctl network invite {0}` "
                            "lets one in",
                            word));
        }
    });
}

struct AddFlags {
    std::string name;
    std::string file;
};

void add(Session& session, const AddFlags& flags) {
    const Name name = Name::parse(flags.name);
    const VpnBundle bundle = read_bundle("FILE", flags.file);
    const std::string subject = network_subject(name);
    about(subject, [&] {
        const Network network = session.run(NetworkPeerAdd{name, bundle}, subject);
        session.note(fmt::format("{}: what {} tells is taken in", subject,
                                 bundle.nodes.front().node.name.to_string()));
        print_results<Network>(session, {network}, true, network_columns());
    });
}

struct RemoveFlags {
    std::string name;
    std::vector<std::string> nodes;
    bool yes = false;
};

std::vector<NodeName> parse_nodes(const std::vector<std::string>& words) {
    std::vector<NodeName> nodes;
    for (const std::string& word : words) {
        const auto node = parse_option<NodeName>("NODE", word);
        if (std::ranges::find(nodes, node) == nodes.end()) {
            nodes.push_back(node);
        }
    }
    return nodes;
}

/// Whether that is a host which has not joined yet.
bool is_expected(const Network& network, const NodeName& node) {
    return network.spec && network.spec->vpn &&
           std::ranges::find(network.spec->vpn->kept, node, &KeptSlice::node) !=
               network.spec->vpn->kept.end();
}

std::string question_about(const Network& network, const std::vector<NodeName>& nodes) {
    std::vector<std::string> expected;
    std::vector<std::string> members;
    for (const NodeName& node : nodes) {
        (is_expected(network, node) ? expected : members).push_back(node.to_string());
    }
    std::string question;
    if (!members.empty()) {
        question = fmt::format("Cut {} off from network {}, on all of its hosts and for good",
                               fmt::join(members, ", "), network.name.to_string());
    }
    if (!expected.empty()) {
        question += fmt::format("{} the slice kept for {}", members.empty() ? "Free" : ", and free",
                                fmt::join(expected, ", "));
    }
    return question + "?";
}

void confirm_removal(const std::string& question) {
    if (!confirm("network peer rm", question)) {
        throw Error(ErrorCode::invalid, "not removed: the answer was not y", "--yes goes on unasked");
    }
}

/// One after the other: each changes the same network.
void remove(Session& session, const RemoveFlags& flags) {
    const Name name = Name::parse(flags.name);
    const std::vector<NodeName> nodes = parse_nodes(flags.nodes);
    const std::string subject = network_subject(name);
    const Network before = about(subject, [&] { return session.client().call(NetworkShow{name}); });
    if (!flags.yes) {
        confirm_removal(question_about(before, nodes));
    }
    Tally tally(session);
    std::vector<Network> results;
    for (const NodeName& node : nodes) {
        try {
            results = {session.run(NetworkPeerRemove{name, node}, subject)};
            session.note(
                is_expected(before, node)
                    ? fmt::format("{}: the slice kept for {} is free again", subject, node.to_string())
                    : fmt::format("{}: {} is cut off", subject, node.to_string()));
            tally.success();
        } catch (const Error& error) {
            tally.failure(subject, error);
        }
    }
    session.exit_code = tally.exit_code();
    print_results<Network>(session, results, true, network_columns());
}

void sync(Session& session, const std::string& word) {
    const Name name = Name::parse(word);
    const std::string subject = network_subject(name);
    about(subject, [&] {
        const Network network = session.run(NetworkPeerSync{name}, subject);
        session.note(fmt::format("{}: in step; {} hosts are reached", subject, peers_text(network)));
        print_results<Network>(session, {network}, true, network_columns());
    });
}

void add_list(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "list", "List the other hosts of a VPN, and whether they are reached",
        "capsulctl network peer list mesh\n"
        "capsulctl network peer list mesh -o wide\n"
        "capsulctl network peer list mesh --json | jq -r '.[] | select(.reachable | not) | .node'");
    auto name = std::make_shared<std::string>();
    command.add_option("NAME", *name, "The network")->required()->type_name("NETWORK");
    prints_table<VpnPeer>(session, command, peer_columns());
    command.callback([&session, name] { list(session, *name); });
}

void add_add(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "add", "Take in what another host of a VPN has exported",
                    "capsulctl network peer add mesh host_b.json\n"
                    "ssh host-b capsulctl network export mesh | capsulctl network peer add mesh -");
    auto flags = std::make_shared<AddFlags>();
    command.add_option("NAME", flags->name, "The network")->required()->type_name("NETWORK");
    command
        .add_option("FILE", flags->file, "What `network export` has written there, or - for standard input")
        ->required()
        ->type_name("FILE");
    prints_table<Network>(session, command, network_columns(), true);
    command.callback([&session, flags] { add(session, *flags); });
}

void add_remove(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "rm", "Cut hosts off from a VPN, for good",
                                    "capsulctl network peer rm mesh host_c        # asks, on a terminal\n"
                                    "capsulctl network peer rm mesh host_b host_c --yes");
    command.alias("delete");
    auto flags = std::make_shared<RemoveFlags>();
    command.add_option("NAME", flags->name, "The network")->required()->type_name("NETWORK");
    command.add_option("NODE", flags->nodes, "The host as `network peer list` has it, or several")
        ->required()
        ->type_name(node_type);
    command.add_flag("-y,--yes", flags->yes, "Do not ask");
    prints_table<Network>(session, command, network_columns(), true);
    command.callback([&session, flags] { remove(session, *flags); });
}

void add_sync(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "sync", "Exchange with all hosts of a VPN what each knows, now",
                    "capsulctl network peer sync mesh             # happens by itself within a minute");
    auto name = std::make_shared<std::string>();
    command.add_option("NAME", *name, "The network")->required()->type_name("NETWORK");
    prints_table<Network>(session, command, network_columns(), true);
    command.callback([&session, name] { sync(session, *name); });
}

} // namespace

void add_network_peer(CLI::App& parent, Session& session) {
    CLI::App& peer = add_command(parent, "peer", "Work with the other hosts of a VPN",
                                 "capsulctl network peer list mesh\n"
                                 "capsulctl network peer rm mesh host_c");
    add_list(peer, session);
    add_add(peer, session);
    add_remove(peer, session);
    add_sync(peer, session);
}

} // namespace capsul::cli
