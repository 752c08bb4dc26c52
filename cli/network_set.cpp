// network set, which changes some of what was given to create.
#include "cli/commands.hpp"
#include "cli/network_view.hpp"
#include "cli/targets.hpp"
#include "cli/vpn_options.hpp"

#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct SetFlags {
    std::string name;
    std::string egress;
    std::vector<std::string> dns;
    bool host_dns = false;
    std::string dhcp;
    std::string slice;
    std::vector<std::string> addresses;
    bool no_address = false;
};

bool parse_switch(const char* option, const std::string& text) {
    if (text != "on" && text != "off") {
        throw Error(ErrorCode::invalid, fmt::format("{}: '{}' is neither on nor off", option, text));
    }
    return text == "on";
}

/// A list that an option gives, or that a flag of its own empties; nothing when neither is there.
template <class T>
std::optional<std::vector<T>> list_or_none(const char* option, const std::vector<std::string>& words,
                                           const char* emptying, bool emptied) {
    if (emptied && !words.empty()) {
        throw Error(ErrorCode::invalid, fmt::format("{} and {} exclude each other", option, emptying));
    }
    return emptied || !words.empty() ? std::optional(parse_each<T>(option, words)) : std::nullopt;
}

NetworkSet set_call(const SetFlags& flags) {
    NetworkSet call;
    call.name = Name::parse(flags.name);
    call.egress = parse_given<Egress>("--egress", flags.egress);
    call.dns = list_or_none<IpAddress>("--dns", flags.dns, "--host-dns", flags.host_dns);
    if (!flags.dhcp.empty()) {
        call.dhcp = parse_switch("--dhcp", flags.dhcp);
    }
    call.slice = parse_given<Cidr>("--slice", flags.slice);
    call.addresses =
        list_or_none<VpnAddressWish>("--address", flags.addresses, "--no-address", flags.no_address);
    if (!call.egress && !call.dns && !call.dhcp && !call.slice && !call.addresses) {
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

} // namespace

void add_network_set(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "set", "Change a network, also while VMs run on it",
        "capsulctl network set lan --egress none             # at once\n"
        "capsulctl network set lan --egress full --dns 9.9.9.9\n"
        "capsulctl network set lan --host-dns                # for VMs that are made from now on\n"
        "capsulctl network set lan --dhcp on                 # for guests without cloud-init\n"
        "capsulctl network set mesh --address vpn.example.org\n"
        "capsulctl network stop mesh && capsulctl network set mesh --slice 10.90.8.0/22");
    auto flags = std::make_shared<SetFlags>();
    command.add_option("NAME", flags->name, "The network")->required()->type_name("NETWORK");
    add_text(command, "--egress", flags->egress, egress_type, "What VMs may reach outside, nat only");
    add_texts(command, "--dns", flags->dns, "ADDRESS",
              "DNS server of VMs that are made, or ask by DHCP, from now on; not for vpn");
    command.add_flag("--host-dns", flags->host_dns,
                     "Those VMs get the DNS servers of this host; not for vpn");
    add_text(command, "--dhcp", flags->dhcp, "on|off", "Tell addresses by DHCP too, nat and vpn");
    add_text(command, "--slice", flags->slice, slice_type,
             "The part of the subnet that is this host's, vpn only, and only while it is stopped");
    add_texts(command, "--address", flags->addresses, address_type, address_words);
    command.add_flag("--no-address", flags->no_address, "Other hosts do not call this one: it calls them");
    prints_table<Network>(session, command, network_columns(), true);
    command.callback([&session, flags] { set(session, *flags); });
}

} // namespace capsul::cli
