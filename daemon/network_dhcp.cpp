#include "daemon/network_dhcp.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/dnsmasq_config.hpp"
#include "daemon/host_dns.hpp"
#include "daemon/journal.hpp"
#include "daemon/network_view.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <set>
#include <sstream>
#include <unistd.h>

namespace capsul {
namespace {

constexpr std::chrono::seconds dhcp_patience{45}; // more than the unit's own limit

/// Of all that VMs have on the network, in the order of their names.
std::vector<DhcpHost> hosts_on(Store& store, const Name& network) {
    std::vector<DhcpHost> hosts;
    for (const auto& [vm, nic] : plugged_nics(store)) {
        if (nic.network == network) {
            hosts.push_back({nic.mac, nic.ip, nic.ip6, vm});
        }
    }
    return hosts;
}

std::set<std::string> lines_of(const std::string& text) {
    std::istringstream stream(text);
    std::set<std::string> lines;
    for (std::string line; std::getline(stream, line);) {
        lines.insert(line);
    }
    return lines;
}

} // namespace

bool has_dnsmasq() {
    return ::access(dnsmasq_program, X_OK) == 0;
}

void require_dhcp(const NetworkRecord& network) {
    if (network.type == NetworkType::bridge) {
        throw Error(ErrorCode::invalid, "dhcp: is of nat and vpn networks only",
                    "on a bridge guests ask the network that the bridge is in");
    }
    if (network.subnet6 && network.subnet6->length() < 64) {
        throw Error(ErrorCode::invalid, fmt::format("dhcp: needs an IPv6 subnet of /64 or smaller, not {}",
                                                    network.subnet6->to_string()));
    }
    if (!has_dnsmasq()) {
        throw Error(ErrorCode::not_capable,
                    fmt::format("{}: dnsmasq is not installed: {} is missing",
                                network.dhcp ? "dhcp" : "names", dnsmasq_program),
                    "sudo apt install dnsmasq-base");
    }
}

void NetworkDhcp::write_files(const NetworkRecord& network) {
    if (!has_dhcp_unit(network)) {
        remove_unit(network.name);
        return;
    }
    const std::lock_guard lock(mutex_);
    make_folders(folder(network.name));
    if (network.vpn) {
        make_folders(paths_.network(network.name) / "dns");
    }
    const Written config =
        refresh_file(folder(network.name) / "dnsmasq.conf",
                     network.vpn ? resolver_config(network) : dnsmasq_config(network, guest_dns(network)));
    const Written unit = units_.write(dhcp_unit_name(network.name),
                                      dhcp_unit(network, paths_.network(network.name), programs_));
    if (unit == Written::changed) {
        systemd_.reload();
    }
    const Change hosts = network.dhcp ? write_hosts(network.name) : Change::none;
    const bool other = config == Written::changed || unit == Written::changed;
    follow(network.name, other ? Change::all : hosts);
}

void NetworkDhcp::write_names(const Name& network, const std::string& hosts_file) {
    const fs::path folder = paths_.network(network) / "dns";
    make_folders(folder);
    update_file(folder / "hosts", hosts_file);
}

void NetworkDhcp::nics_changed(const std::vector<Name>& networks) {
    const std::lock_guard lock(mutex_);
    for (const Name& name : networks) {
        const auto network = store_.networks.find(name);
        if (network && network->record && network->record->dhcp) {
            follow(name, write_hosts(name));
        }
    }
}

NetworkDhcp::Change NetworkDhcp::write_hosts(const Name& network) {
    const fs::path file = folder(network) / "hosts";
    const std::string wanted = dnsmasq_hosts(hosts_on(store_, network));
    const std::string present = fs::exists(file) ? read_file(file) : "";
    if (present == wanted) {
        return Change::none;
    }
    replace_file(file, wanted);
    const auto before = lines_of(present);
    const auto now = lines_of(wanted);
    return std::ranges::includes(now, before) ? Change::hosts_added : Change::all;
}

/// A NIC that is new is read with the hosts. For one that is gone dnsmasq keeps the address, even from
/// another, until it starts anew; which costs the guests nothing, for it keeps nothing else.
void NetworkDhcp::follow(const Name& network, Change change) {
    const std::string unit = dhcp_unit_name(network);
    if (change == Change::none || systemd_.status(unit).active_state != "active") {
        return;
    }
    if (change == Change::hosts_added && systemd_.reload_unit(unit, dhcp_patience) == JobResult::done) {
        return;
    }
    stop(network);
    start(network);
}

void NetworkDhcp::start(const Name& network) {
    const std::string unit = dhcp_unit_name(network);
    if (systemd_.status(unit).active_state != "active") {
        systemd_.reset_failed(unit); // nor do the starts count that were asked for
    }
    if (systemd_.start(unit, dhcp_patience) != JobResult::done) {
        const auto lines = last_words(systemd_.status(unit), 3);
        const auto stored = store_.networks.find(network);
        const bool only_names = stored && stored->record && !stored->record->dhcp;
        throw Error(ErrorCode::internal,
                    about_network(network, fmt::format("its {} server does not start: {}",
                                                       only_names ? "name" : "DHCP", fmt::join(lines, "; "))),
                    "`capsulctl doctor` tells what this host lacks");
    }
}

void NetworkDhcp::stop(const Name& network) {
    units_.take_down(systemd_, dhcp_unit_name(network), dhcp_patience);
}

void NetworkDhcp::remove_unit(const Name& network) {
    units_.remove(dhcp_unit_name(network));
}

} // namespace capsul
