// What another host needs to join a VPN: network export, network invite.
#include "cli/bundle_file.hpp"
#include "cli/commands.hpp"
#include "cli/output_file.hpp"
#include "cli/vpn_options.hpp"
#include "lib/fd.hpp"
#include "lib/vpn_calls.hpp"

#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct ExportFlags {
    std::string name;
    std::string node;
    std::string file = "-";
};

void export_network(Session& session, const ExportFlags& flags) {
    const NetworkExport call{Name::parse(flags.name), parse_given<NodeName>("--for", flags.node)};
    if (flags.file != "-") {
        refuse_special(flags.file);
    }
    const std::string subject = "network " + flags.name;
    about(subject, [&] {
        const VpnBundle bundle = session.run(call, subject);
        if (flags.file == "-") {
            const OutputOptions options = session.output_options();
            session.out().write(
                render_json(encode(bundle), options, options.format == Format::jsonl ? -1 : 2));
            return;
        }
        replace_file(flags.file, bundle_text(bundle));
        session.note(fmt::format("{}: written to {}; it holds no secret", subject, flags.file));
    });
}

struct InviteFlags {
    std::string name;
    std::string expires;
    std::string address;
};

void invite(Session& session, const InviteFlags& flags) {
    const NetworkInvite call{Name::parse(flags.name), parse_given<Duration>("--expires", flags.expires),
                             parse_given<VpnAddressWish>("--address", flags.address)};
    const std::string subject = "network " + flags.name;
    about(subject, [&] {
        const InviteResult invitation = session.run(call, subject);
        if (session.wants_json()) {
            session.out().write(render_object(encode(invitation), session.output_options()));
            return;
        }
        session.out().write(for_output(invitation.code, session.output_options()) + '\n');
        session.note(
            fmt::format("{}: until {}, one host joins with `capsulctl network join -`, which asks for the "
                        "code; it is a secret",
                        subject, invitation.expires.to_string()));
    });
}

} // namespace

void add_network_export(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(
        parent, "export", "Write what another host needs to join a VPN, or to know this host",
        "capsulctl network export mesh --for host_b host_b.json   # for host_b, to join with\n"
        "capsulctl network export mesh                            # what this host tells of itself");
    auto flags = std::make_shared<ExportFlags>();
    command.add_option("NAME", flags->name, "The network")->required()->type_name("NETWORK");
    command.add_option("FILE", flags->file, "Where to; standard output if not given, and for -")
        ->type_name("FILE");
    add_text(command, "--for", flags->node, "HOST", "Keep a slice of the subnet for the host of this name");
    command.callback([&session, flags] { export_network(session, *flags); });
}

void add_network_invite(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "invite", "Print a code with which one host can join a VPN that runs",
                    "capsulctl network invite mesh                # a code from before is no longer good\n"
                    "capsulctl network invite mesh --expires 10m --address 192.0.2.1:11700");
    auto flags = std::make_shared<InviteFlags>();
    command.add_option("NAME", flags->name, "The network")->required()->type_name("NETWORK");
    add_text(command, "--expires", flags->expires, "TIME",
             "How long the code is good, unless the network stops: 1m to 168h (default: 1h)");
    add_text(command, "--address", flags->address, address_type,
             "Where that host finds this one meanwhile (default: where hosts of the VPN do)");
    command.callback([&session, flags] { invite(session, *flags); });
}

} // namespace capsul::cli
