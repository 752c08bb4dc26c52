// network create.
#include "cli/commands.hpp"
#include "cli/network_view.hpp"
#include "cli/vpn_options.hpp"

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
    VpnFlags vpn;
};

/// The one that the bridge implies, unless --type says it.
NetworkType chosen_type(const CreateFlags& flags) {
    const NetworkType implied = flags.bridge.empty() ? NetworkType::nat : NetworkType::bridge;
    const NetworkType type = flags.type.empty() ? implied : parse_option<NetworkType>("--type", flags.type);
    if (type == NetworkType::bridge && flags.bridge.empty()) {
        throw Error(ErrorCode::invalid, "--type bridge: needs --bridge, the name of a bridge of this host",
                    "`ip -brief link show type bridge` shows those there are");
    }
    if (type != NetworkType::bridge && !flags.bridge.empty()) {
        throw Error(ErrorCode::invalid,
                    fmt::format("--bridge: a {} network has a bridge of its own", to_string(type)),
                    fmt::format("--type bridge plugs VMs into {}", flags.bridge));
    }
    const std::string of_vpn = first_given(flags.vpn);
    if (type != NetworkType::vpn && !of_vpn.empty()) {
        throw Error(ErrorCode::invalid, fmt::format("{}: a {} network has none", of_vpn, to_string(type)),
                    "--type vpn joins the VMs of several hosts");
    }
    return type;
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
    call.dns = parse_each<IpAddress>("--dns", flags.dns);
    call.isolate = flags.isolate;
    call.egress = parse_given<Egress>("--egress", flags.egress);
    call.dhcp = flags.dhcp;
    if (call.type == NetworkType::vpn) {
        call.vpn = wishes_from(flags.vpn);
    }
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
    } catch (const NoDaemon&) {
        throw;
    } catch (const Error& error) {
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

void add_options(CLI::App& command, CreateFlags& flags) {
    const auto text = [&](const char* names, std::string& value, const char* type, const char* description) {
        add_text(command, names, value, type, description);
    };
    text("-t,--type", flags.type, "nat|bridge|vpn",
         "A bridge and subnet of its own, a bridge of this host, or one segment for several hosts");
    text("-b,--bridge", flags.bridge, "BRIDGE", "The bridge of this host that VMs are plugged into");
    text("--subnet", flags.subnet, "SUBNET", "IPv4 subnet (default for nat and vpn: one that is free)");
    text("--subnet6", flags.subnet6, "SUBNET", "IPv6 subnet");
    text("--gateway", flags.gateway, "ADDRESS",
         "The guests' IPv4 router, not for vpn (nat: the bridge itself)");
    text("--gateway6", flags.gateway6, "ADDRESS",
         "The guests' IPv6 router, not for vpn (nat: the bridge itself)");
    text("--range", flags.range, "FIRST-LAST",
         "What VMs get addresses from, not for vpn (nat: all of the subnet if not given)");
    text("--range6", flags.range6, "FIRST-LAST", "The same of the IPv6 subnet, not for vpn");
    add_texts(command, "--dns", flags.dns, "ADDRESS",
              "DNS server of the guests, not for vpn (default: those of this host)");
    command.add_flag("--isolate", flags.isolate, "Its VMs do not reach each other, not for vpn");
    text("--egress", flags.egress, egress_type, "What VMs may reach outside, nat only (default: full)");
    command.add_flag("--dhcp", flags.dhcp,
                     "Tell addresses by DHCP too, for guests without cloud-init; nat and vpn");
    add_vpn_options(command, flags.vpn);
    text("--mtu", flags.vpn.mtu, "N",
         "Of the VMs' NICs, vpn only: 576 to 1500, from 1280 with --subnet6 (default: fits links of 1500)");
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
        "capsulctl network create home --bridge br0                     # addresses from the router's DHCP\n"
        "capsulctl network create mesh --type vpn --subnet 10.90.0.0/16 --subnet6 fd90:1::/64 \\\n"
        "    --address 192.0.2.1                                        # for VMs of several hosts");
    auto flags = std::make_shared<CreateFlags>();
    command.add_option("NAME", flags->name, "Its name: a DNS label such as lan")
        ->required()
        ->type_name("NEW");
    add_options(command, *flags);
    prints_table<Network>(session, command, network_columns());
    command.callback([&session, flags] { create(session, *flags); });
}

} // namespace capsul::cli
