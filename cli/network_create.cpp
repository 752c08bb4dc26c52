// network create, and network set, which changes some of what was given there.
#include "cli/commands.hpp"
#include "cli/network_view.hpp"
#include "cli/targets.hpp"

#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct CreateFlags {
    std::string name;
    std::string type;
    std::string bridge;
    std::string subnet;
    std::string subnet6;
    std::string gateway;
    std::string gateway6;
    std::string range;
    std::string range6;
    std::vector<std::string> dns;
    bool isolate = false;
    std::string egress;
    bool dhcp = false;
    bool no_start = false;
    bool no_autostart = false;
    bool if_not_exists = false;
};

/// The one that the bridge implies, unless --type says it.
NetworkType chosen_type(const CreateFlags& flags) {
    const NetworkType implied = flags.bridge.empty() ? NetworkType::nat : NetworkType::bridge;
    const NetworkType type = flags.type.empty() ? implied : parse_option<NetworkType>("--type", flags.type);
    if (type == NetworkType::bridge && flags.bridge.empty()) {
        throw Error(ErrorCode::invalid, "--type bridge: needs --bridge, the name of a bridge of this host",
                    "`ip -brief link show type bridge` shows those there are");
    }
    if (type == NetworkType::nat && !flags.bridge.empty()) {
        throw Error(ErrorCode::invalid, "--bridge: a nat network has a bridge of its own",
                    fmt::format("--type bridge plugs VMs into {}", flags.bridge));
    }
    return type;
}

template <class T>
std::optional<T> parse_given(const char* option, const std::string& text) {
    return text.empty() ? std::nullopt : std::optional(parse_option<T>(option, text));
}

std::vector<IpAddress> parse_servers(const std::vector<std::string>& words) {
    std::vector<IpAddress> servers;
    for (const std::string& word : words) {
        servers.push_back(parse_option<IpAddress>("--dns", word));
    }
    return servers;
}

NetworkCreate make_call(const CreateFlags& flags) {
    NetworkCreate call;
    call.name = Name::parse(flags.name);
    call.type = chosen_type(flags);
    call.bridge = parse_given<InterfaceName>("--bridge", flags.bridge);
    call.subnet = parse_given<Cidr>("--subnet", flags.subnet);
    call.subnet6 = parse_given<Cidr>("--subnet6", flags.subnet6);
    call.gateway = parse_given<IpAddress>("--gateway", flags.gateway);
    call.gateway6 = parse_given<IpAddress>("--gateway6", flags.gateway6);
    call.range = parse_given<IpRange>("--range", flags.range);
    call.range6 = parse_given<IpRange>("--range6", flags.range6);
    call.dns = parse_servers(flags.dns);
    call.isolate = flags.isolate;
    call.egress = parse_given<Egress>("--egress", flags.egress);
    call.dhcp = flags.dhcp;
    call.start = !flags.no_start;
    call.autostart = !flags.no_autostart;
    return call;
}

Network create_or_show(Session& session, const NetworkCreate& call, bool if_not_exists) {
    const std::string subject = "network " + call.name.to_string();
    try {
        Network network = session.run(call, subject);
        session.note(subject + (call.start ? ": created and running" : ": created"));
        return network;
    } catch (const Error& error) {
        if (error.code() == ErrorCode::unreachable) {
            throw;
        }
        if (error.code() != ErrorCode::exists || !if_not_exists) {
            throw named(subject, error);
        }
    }
    Network network = session.client().call(NetworkShow{call.name});
    session.note(subject + ": exists already");
    return network;
}

void create(Session& session, const CreateFlags& flags) {
    const Network network = create_or_show(session, make_call(flags), flags.if_not_exists);
    print_made<Network>(session.out(), session.output_options(), network, network_columns());
}

struct SetFlags {
    std::string name;
    std::string egress;
    std::vector<std::string> dns;
    bool host_dns = false;
    std::string dhcp;
};

bool parse_switch(const char* option, const std::string& text) {
    if (text != "on" && text != "off") {
        throw Error(ErrorCode::invalid, fmt::format("{}: '{}' is neither on nor off", option, text));
    }
    return text == "on";
}

NetworkSet set_call(const SetFlags& flags) {
    NetworkSet call;
    call.name = Name::parse(flags.name);
    call.egress = parse_given<Egress>("--egress", flags.egress);
    if (flags.host_dns && !flags.dns.empty()) {
        throw Error(ErrorCode::invalid, "--dns and --host-dns exclude each other");
    }
    if (flags.host_dns || !flags.dns.empty()) {
        call.dns = parse_servers(flags.dns);
    }
    if (!flags.dhcp.empty()) {
        call.dhcp = parse_switch("--dhcp", flags.dhcp);
    }
    if (!call.egress && !call.dns && !call.dhcp) {
        throw Error(ErrorCode::invalid, "no change is given",
                    "`capsulctl network set --help` shows what can be");
    }
    return call;
}

void set(Session& session, const SetFlags& flags) {
    const NetworkSet call = set_call(flags);
    const std::string subject = "network " + flags.name;
    about(subject, [&] {
        const Network network = session.run(call, subject);
        session.note(subject + ": changed");
        print_results<Network>(session, {network}, true, network_columns());
    });
}

/// An empty value would be as good as none: a script's unset variable must not open what it meant to shut.
std::string refuse_empty(const std::string& text) {
    return text.empty() ? "needs a value" : "";
}

void add_text(CLI::App& command, const char* names, std::string& value, const char* type,
              const char* description) {
    command.add_option(names, value, description)->type_name(type)->check(refuse_empty);
}

void add_egress(CLI::App& command, std::string& egress, const char* description) {
    add_text(command, "--egress", egress, "full|none|dns-icmp|LIST", description);
}

void add_dns(CLI::App& command, std::vector<std::string>& dns, const char* description) {
    command.add_option("--dns", dns, description)->type_name("ADDRESS")->allow_extra_args(false);
}

void add_options(CLI::App& command, CreateFlags& flags) {
    const auto text = [&](const char* names, std::string& value, const char* type, const char* description) {
        add_text(command, names, value, type, description);
    };
    text("-t,--type", flags.type, "nat|bridge", "A bridge and subnet of its own, or a bridge of this host");
    text("-b,--bridge", flags.bridge, "BRIDGE", "The bridge of this host that VMs are plugged into");
    text("--subnet", flags.subnet, "SUBNET", "IPv4 subnet (default for nat: one that is free)");
    text("--subnet6", flags.subnet6, "SUBNET", "IPv6 subnet");
    text("--gateway", flags.gateway, "ADDRESS", "The guests' IPv4 router (nat: the bridge itself)");
    text("--gateway6", flags.gateway6, "ADDRESS", "The guests' IPv6 router (nat: the bridge itself)");
    text("--range", flags.range, "FIRST-LAST",
         "What VMs get addresses from (nat: all of the subnet if not given)");
    text("--range6", flags.range6, "FIRST-LAST", "The same of the IPv6 subnet");
    add_dns(command, flags.dns, "DNS server of the guests (default: those of this host)");
    command.add_flag("--isolate", flags.isolate, "Its VMs do not reach each other");
    add_egress(command, flags.egress, "What VMs may reach outside, nat only (default: full)");
    command.add_flag("--dhcp", flags.dhcp,
                     "Tell addresses by DHCP too, for guests without cloud-init; nat only");
    command.add_flag("--no-start", flags.no_start, "Make it, but do not start it");
    command.add_flag("--no-autostart", flags.no_autostart, "Do not start it when the host boots");
    command.add_flag("--if-not-exists", flags.if_not_exists, "Success, and no change, when it exists");
}

} // namespace

void add_network_create(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "create", "Make a network and start it",
        "capsulctl network create lan                                   # nat, on a subnet that is free\n"
        "capsulctl network create lab --subnet 10.80.7.0/24 --isolate --egress dns-icmp\n"
        "capsulctl network create ci --egress '192.0.2.7:443/tcp,[2001:db8::/32]:443/tcp'\n"
        "capsulctl network create pub --bridge br0 --subnet 203.0.113.0/24 --gateway 203.0.113.1 \\\n"
        "    --range 203.0.113.16-203.0.113.31                         # public addresses\n"
        "capsulctl network create home --bridge br0                     # addresses from the router's DHCP");
    auto flags = std::make_shared<CreateFlags>();
    command.add_option("NAME", flags->name, "Its name: a DNS label such as lan")
        ->required()
        ->type_name("NEW");
    add_options(command, *flags);
    prints_table<Network>(session, command, network_columns());
    command.callback([&session, flags] { create(session, *flags); });
}

void add_network_set(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "set", "Change a network, also while VMs run on it",
        "capsulctl network set lan --egress none             # at once\n"
        "capsulctl network set lan --egress full --dns 9.9.9.9\n"
        "capsulctl network set lan --host-dns                # for VMs that are made from now on\n"
        "capsulctl network set lan --dhcp on                 # for guests without cloud-init");
    auto flags = std::make_shared<SetFlags>();
    command.add_option("NAME", flags->name, "The network")->required()->type_name("NETWORK");
    add_egress(command, flags->egress, "What VMs may reach outside, nat only");
    add_dns(command, flags->dns, "DNS server of VMs that are made, or ask by DHCP, from now on");
    command.add_flag("--host-dns", flags->host_dns, "Those VMs get the DNS servers of this host");
    add_text(command, "--dhcp", flags->dhcp, "on|off", "Tell addresses by DHCP too, nat only");
    prints_table<Network>(session, command, network_columns(), true);
    command.callback([&session, flags] { set(session, *flags); });
}

} // namespace capsul::cli
