// The commands of networks; those that take more words have files of their own.
#include "lib/network.hpp"
#include "cli/commands.hpp"
#include "cli/network_view.hpp"
#include "cli/targets.hpp"

#include <array>
#include <fmt/format.h>
#include <map>
#include <memory>

namespace capsul::cli {
namespace {

constexpr std::array<Column<Lease>, 4> lease_columns{{
    {"ip", [](const Lease& lease) { return lease.ip.to_string(); }},
    {"use", [](const Lease& lease) { return lease.use; }},
    {"vm", [](const Lease& lease) { return optional_text(lease.vm); }},
    {"mac", [](const Lease& lease) { return optional_text(lease.mac); }},
}};

void list_networks(Session& session) {
    const std::vector<Network> networks = session.client().call(NetworkList{});
    print_networks(session, networks);
    if (networks.empty() && !session.wants_data()) {
        session.note("no networks yet: make one with `capsulctl network create NAME`; until then VMs are on "
                     "`user`, QEMU's own");
    }
}

void show_network(Session& session, const std::string& word) {
    const Name name = Name::parse(word);
    about(network_subject(name), [&] { print_network(session, session.client().call(NetworkShow{name})); });
}

void show_leases(Session& session, const std::string& word) {
    const Name name = Name::parse(word);
    about(network_subject(name), [&] {
        const std::vector<Lease> leases = session.client().call(NetworkLeases{name});
        print_list<Lease>(session.out(), session.output_options(), leases, lease_columns);
        if (leases.empty() && !session.wants_data()) {
            session.note(network_subject(name) + ": no address is in use or reserved");
        }
    });
}

std::map<Name, NetworkState> states_now(Session& session) {
    std::map<Name, NetworkState> states;
    for (const Network& network : session.client().call(NetworkList{})) {
        states[network.name] = network.state;
    }
    return states;
}

/// An action that is done with nothing but a name, and leads to a state.
template <Call C>
void change_state(Session& session, const std::vector<std::string>& words) {
    const std::vector<Name> names = parse_names(words);
    const std::map<Name, NetworkState> before = states_now(session);
    std::vector<Network> results;
    run_for_each<C>(
        session, "network", names, [](const Name& name) { return C{.name = name}; },
        [&](const Name& name, const Network& network) {
            const auto was = before.find(name);
            const bool already = was != before.end() && was->second == network.state;
            session.note(fmt::format("{}: {}{}", network_subject(name), already ? "already " : "",
                                     to_string(network.state)));
            results.push_back(network);
        });
    print_results<Network>(session, results, words.size() == 1, network_columns());
}

/// What is left of a VPN elsewhere.
std::string kept_by_others(const Network& network) {
    if (!network.spec || !network.vpn || network.vpn->peers.empty()) {
        return "";
    }
    return fmt::format(" here; its other hosts keep {} and its slice until `network peer rm` there",
                       network.spec->vpn->node.to_string());
}

struct DeleteFlags {
    std::vector<std::string> names;
    bool yes = false;
    bool ignore_missing = false;
};

void delete_networks(Session& session, const DeleteFlags& flags) {
    std::vector<Name> names = parse_names(flags.names);
    if (flags.ignore_missing) {
        drop_missing(session, "network", names, session.client().call(NetworkList{}));
    }
    if (!flags.yes && !names.empty() &&
        !confirm("network delete", fmt::format("Delete {}, for good?", listed(names)))) {
        throw Error(ErrorCode::invalid, "not deleted: the answer was not y", "--yes goes on unasked");
    }
    std::vector<Network> results;
    run_for_each<NetworkDelete>(
        session, "network", names, [](const Name& name) { return NetworkDelete{name}; },
        [&](const Name& name, const Network& network) {
            session.note(network_subject(name) + ": deleted" + kept_by_others(network));
            results.push_back(network);
        });
    print_results<Network>(session, results, flags.names.size() == 1, network_columns());
}

struct AddressFlags {
    std::string name;
    std::string ip;
    std::string vm;
};

void reserve(Session& session, const AddressFlags& flags) {
    const NetworkReserve call{Name::parse(flags.name), parse_option<IpAddress>("IP", flags.ip),
                              parse_option<Name>("--for", flags.vm)};
    const std::string subject = network_subject(call.name);
    about(subject, [&] {
        const Network network = session.run(call, subject);
        session.note(fmt::format("{}: {} is kept for {}", subject, call.ip.to_string(), call.vm.to_string()));
        print_results<Network>(session, {network}, true, network_columns());
    });
}

void release(Session& session, const AddressFlags& flags) {
    const NetworkRelease call{Name::parse(flags.name), parse_option<IpAddress>("IP", flags.ip)};
    const std::string subject = network_subject(call.name);
    about(subject, [&] {
        const Network network = session.run(call, subject);
        session.note(fmt::format("{}: {} is kept no longer", subject, call.ip.to_string()));
        print_results<Network>(session, {network}, true, network_columns());
    });
}

/// A command about one network.
template <class Look>
CLI::App& add_look(CLI::App& parent, Session& session, const char* verb, const char* description,
                   const char* examples, Look look) {
    CLI::App& command = add_command(parent, verb, description, examples);
    auto name = std::make_shared<std::string>();
    command.add_option("NAME", *name, "The network")->required()->type_name("NETWORK");
    command.callback([&session, name, look] { look(session, *name); });
    return command;
}

/// A command that takes names only.
template <Call C>
void add_plain_action(CLI::App& parent, Session& session, const char* verb, const char* description,
                      const char* examples) {
    CLI::App& command = add_command(parent, verb, description, examples);
    auto names = std::make_shared<std::vector<std::string>>();
    command.add_option("NAME", *names, "The network, or several")->required()->type_name("NETWORK");
    prints_table<Network>(session, command, network_columns(), true);
    command.callback([&session, names] { change_state<C>(session, *names); });
}

void add_delete(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "delete", "Delete networks that no VM has a NIC on",
                                    "capsulctl network delete lan        # asks, on a terminal\n"
                                    "capsulctl network delete lan lab --yes --ignore-missing");
    command.alias("rm");
    auto flags = std::make_shared<DeleteFlags>();
    command.add_option("NAME", flags->names, "The network, or several")->required()->type_name("NETWORK");
    command.add_flag("-y,--yes", flags->yes, "Do not ask");
    command.add_flag("--ignore-missing", flags->ignore_missing, "Success when there is no such network");
    prints_table<Network>(session, command, network_columns(), true);
    command.callback([&session, flags] { delete_networks(session, *flags); });
}

/// The arguments that reserve and release share.
std::shared_ptr<AddressFlags> add_address(CLI::App& command) {
    auto flags = std::make_shared<AddressFlags>();
    command.add_option("NAME", flags->name, "The network")->required()->type_name("NETWORK");
    command.add_option("IP", flags->ip, "The address, IPv4 or IPv6")->required()->type_name("ADDRESS");
    return flags;
}

void add_reservations(CLI::App& parent, Session& session) {
    CLI::App& kept = add_command(parent, "reserve", "Keep an address for a VM, which need not exist yet",
                                 "capsulctl network reserve lan 10.80.0.9 --for web");
    auto flags = add_address(kept);
    kept.add_option("--for", flags->vm, "The VM that gets it")->required()->type_name("VM");
    prints_table<Network>(session, kept, network_columns(), true);
    kept.callback([&session, flags] { reserve(session, *flags); });

    CLI::App& freed = add_command(parent, "release", "Keep an address for a VM no longer",
                                  "capsulctl network release lan 10.80.0.9");
    auto freed_flags = add_address(freed);
    prints_table<Network>(session, freed, network_columns(), true);
    freed.callback([&session, freed_flags] { release(session, *freed_flags); });
}

} // namespace

void add_network_commands(CLI::App& program, Session& session) {
    CLI::App& network = add_command(
        program, "network", "Work with networks, which the NICs of VMs plug into",
        "capsulctl network create lan\n"
        "capsulctl vm create web --image debian-12 --network lan\n"
        "capsulctl network create pub --bridge br0     # beside the host itself\n"
        "capsulctl vm nic add web pub\n"
        "capsulctl network create mesh --type vpn --address 192.0.2.1\n"
        "capsulctl network invite mesh                  # prints a code; then, on another host,\n"
        "capsulctl network join -                       # asks for it; or join by ssh, or by files\n"
        "capsulctl network list");
    add_network_create(network, session);
    CLI::App& list = add_command(network, "list", "List networks",
                                 "capsulctl network list\n"
                                 "capsulctl network list -o wide\n"
                                 "capsulctl network list --json | jq -r '.[] | select(.vms == []) | .name'");
    prints_table<Network>(session, list, network_columns());
    list.callback([&session] { list_networks(session); });
    prints_table<Network>(session,
                          add_look(network, session, "show", "Show all that is known of a network",
                                   "capsulctl network show lan", show_network),
                          network_columns());
    add_network_set(network, session);
    add_plain_action<NetworkStart>(network, session, "start",
                                   "Start networks, now and when the host boots; mend running ones",
                                   "capsulctl network start lan");
    add_plain_action<NetworkStop>(network, session, "stop", "Stop networks that no VM runs on",
                                  "capsulctl network stop lan lab");
    add_delete(network, session);
    prints_table<Lease>(
        session,
        add_look(network, session, "leases", "List the addresses that are taken, and by whom",
                 "capsulctl network leases lan\n"
                 "capsulctl network leases lan --json | jq -r '.[] | select(.vm == \"web\") | .ip'",
                 show_leases),
        lease_columns);
    add_reservations(network, session);
    add_network_invite(network, session);
    add_network_export(network, session);
    add_network_join(network, session);
    add_network_peer(network, session);
    add_network_check(network, session);
}

} // namespace capsul::cli
