// vm ip: where a VM can be reached.
#include "cli/commands.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

struct AddressRow {
    std::string kind;
    std::string address;
    static constexpr auto fields() {
        return field_list(required("kind", &AddressRow::kind), required("address", &AddressRow::address));
    }
};
constexpr std::array<Column<AddressRow>, 2> address_columns{{
    {"address", [](const AddressRow& row) { return row.address; }},
    {"kind", [](const AddressRow& row) { return row.kind; }},
}};

/// Whether capsul gave this address, written with or without a prefix.
bool is_assigned(const VmAddresses& addresses, const std::string& text) {
    const std::string address = text.substr(0, text.find('/'));
    return std::ranges::any_of(addresses.assigned,
                               [&](const IpAddress& ip) { return ip.to_string() == address; });
}

/// A port of this host that leads to the guest's, or the guest's own.
std::string ssh_text(const VmAddresses& addresses) {
    const Endpoint& ssh = *addresses.ssh;
    return is_assigned(addresses, ssh.address) ? endpoint_text(ssh)
                                               : PublishedPort::tcp(ssh.address, ssh.port, 22).to_string();
}

/// The first row is the same before the guest is up and after, which is what scripts want of it.
std::vector<AddressRow> address_rows(const VmAddresses& addresses) {
    std::vector<AddressRow> rows;
    for (const IpAddress& ip : addresses.assigned) {
        rows.push_back({"assigned", ip.to_string()});
    }
    for (const std::string& guest : addresses.guest) {
        if (!is_assigned(addresses, guest)) {
            rows.push_back({"guest", guest});
        }
    }
    if (addresses.ssh) {
        rows.push_back({"ssh", ssh_text(addresses)});
    }
    for (const PublishedPort& port : addresses.published) {
        rows.push_back({"published", port.to_string()});
    }
    return rows;
}

void show_addresses(Session& session, const Name& name) {
    const std::string subject = "vm " + name.to_string();
    const VmAddresses addresses = session.client().call(VmIp{name});
    for (const IpAddress& ip : addresses.missing) {
        session.note(fmt::format("{}: the guest does not have {}", subject, ip.to_string()));
    }
    const OutputOptions options = session.output_options();
    if (session.wants_json()) {
        session.out().write(render_object(encode(addresses), options));
        return;
    }
    const std::vector<AddressRow> rows = address_rows(addresses);
    print_list<AddressRow>(session.out(), options, rows, address_columns);
    if (rows.empty() && !session.wants_data()) {
        session.note(subject + ": capsul gave it no address, and its guest agent tells of none");
    }
}

} // namespace

void add_vm_ip(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "ip", "Show where a VM can be reached",
                                    "capsulctl vm ip web\n"
                                    "ping -c 1 \"$(capsulctl vm ip web -q | head -n 1)\"\n"
                                    "capsulctl vm ip web --json | jq -r '.ssh.port'");
    auto word = std::make_shared<std::string>();
    command.add_option("NAME", *word, "The VM")->required()->type_name("VM");
    prints_table<AddressRow>(session, command, address_columns);
    command.callback([&session, word] {
        const Name name = Name::parse(*word);
        about("vm " + *word, [&] { show_addresses(session, name); });
    });
}

} // namespace capsul::cli
