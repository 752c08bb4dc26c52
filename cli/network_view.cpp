#include "cli/network_view.hpp"

#include "cli/targets.hpp"
#include "cli/vpn_view.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

Style state_style(const Network& network) {
    switch (network.state) {
    case NetworkState::running:
        return Style::good;
    case NetworkState::failed:
    case NetworkState::broken:
        return Style::bad;
    case NetworkState::starting:
    case NetworkState::stopping:
        return Style::changing;
    case NetworkState::stopped:
        return Style::faint;
    }
    return Style::plain;
}

std::string yes_or_no(bool value) {
    return value ? "yes" : "no";
}

std::string dns_text(const NetworkRecord& record) {
    return joined(record.dns, [](const IpAddress& server) { return server.to_string(); });
}

/// Of nat networks: capsul filters nothing on a bridge that is not its own.
std::string egress_text(const NetworkRecord& record) {
    return record.type == NetworkType::nat ? record.egress.to_string() : "";
}

/// What `text` gives of the record; empty for a broken network.
template <class Text>
std::string of_spec(const Network& network, const Text& text) {
    return network.spec ? text(*network.spec) : std::string();
}

/// The column of a field of the record.
template <auto field>
std::string field_text(const Network& network) {
    return of_spec(network, [](const NetworkRecord& r) {
        if constexpr (requires { (r.*field).has_value(); }) {
            return optional_text(r.*field);
        } else if constexpr (requires { (r.*field).to_string(); }) {
            return std::string((r.*field).to_string());
        } else {
            return yes_or_no(r.*field);
        }
    });
}

/// Of networks whose bridge is capsul's: guests on another ask its network.
std::string dhcp_text(const Network& network) {
    if (!network.spec || network.spec->type == NetworkType::bridge) {
        return "";
    }
    return network.dhcp ? fmt::format("on ({})", to_string(*network.dhcp)) : "off";
}

/// The column of a field of a VPN's.
template <auto field>
std::string vpn_text(const Network& network) {
    return network.spec && network.spec->vpn ? std::string(((*network.spec->vpn).*field).to_string()) : "";
}

constexpr std::array<Column<Network>, 22> network_table{{
    {"name", [](const Network& network) { return network.name.to_string(); }},
    {"type",
     [](const Network& network) {
         return of_spec(network, [](const NetworkRecord& r) { return std::string(to_string(r.type)); });
     }},
    {"state", [](const Network& network) { return std::string(to_string(network.state)); }, Shown::always,
     false, state_style},
    {"bridge", field_text<&NetworkRecord::bridge>},
    {"subnet", field_text<&NetworkRecord::subnet>},
    {"subnet6", field_text<&NetworkRecord::subnet6>, Shown::filled},
    {"vms",
     [](const Network& network) {
         return joined(network.vms, [](const Name& name) { return name.to_string(); });
     }},
    {"peers", peers_text, Shown::filled},
    {"tunnel",
     [](const Network& network) { return network.vpn ? std::string(to_string(network.vpn->tunnel)) : ""; },
     Shown::wide},
    {"node", vpn_text<&VpnRecord::node>, Shown::wide},
    {"slice", vpn_text<&VpnRecord::slice>, Shown::wide},
    {"gateway", field_text<&NetworkRecord::gateway>, Shown::wide},
    {"range", field_text<&NetworkRecord::range>, Shown::wide},
    {"gateway6", field_text<&NetworkRecord::gateway6>, Shown::on_request},
    {"range6", field_text<&NetworkRecord::range6>, Shown::on_request},
    {"dns", [](const Network& network) { return of_spec(network, dns_text); }, Shown::wide},
    {"isolate", field_text<&NetworkRecord::isolate>, Shown::wide},
    {"egress", [](const Network& network) { return of_spec(network, egress_text); }, Shown::wide},
    {"dhcp", dhcp_text, Shown::wide},
    {"boot", [](const Network& network) { return yes_or_no(network.enabled); }, Shown::wide},
    {"unit", [](const Network& network) { return network.unit; }, Shown::wide},
    {"reason", [](const Network& network) { return network.reason.value_or(""); }, Shown::filled},
}};

/// Which addresses VMs get; empty where there is no such subnet.
std::string pool_text(const std::optional<Cidr>& subnet, const std::optional<IpRange>& range) {
    return subnet ? (range ? range->to_string() : "all of the subnet") : "";
}

std::string reservations_text(const NetworkRecord& record) {
    std::string text;
    for (const Reservation& kept : record.reservations) {
        text +=
            fmt::format("{}{} for {}", text.empty() ? "" : ", ", kept.ip.to_string(), kept.vm.to_string());
    }
    return text;
}

/// Of a VPN: addresses are those of its slice, and its resolver, which is shown among the lines of VPNs, is
/// the VMs' only DNS server.
std::vector<Line> vpn_address_lines(const NetworkRecord& record) {
    return {{"Subnet", optional_text(record.subnet)},
            {"IPv6 subnet", optional_text(record.subnet6)},
            {"IPv6 addresses", record.subnet6 ? "made of the NIC's MAC (EUI-64)" : ""},
            {"Reserved", reservations_text(record)}};
}

std::vector<Line> address_lines(const NetworkRecord& record) {
    if (record.vpn) {
        return vpn_address_lines(record);
    }
    if (!record.subnet && !record.subnet6) {
        return {{"Addresses", "capsul gives out none: guests ask the network (DHCP)"}};
    }
    return {{"Subnet", optional_text(record.subnet)},
            {"Gateway", optional_text(record.gateway)},
            {"Addresses", pool_text(record.subnet, record.range)},
            {"IPv6 subnet", optional_text(record.subnet6)},
            {"IPv6 gateway", optional_text(record.gateway6)},
            {"IPv6 addresses", pool_text(record.subnet6, record.range6)},
            {"DNS", record.dns.empty() ? "as this host" : dns_text(record)},
            {"Reserved", reservations_text(record)}};
}

std::vector<Line> spec_lines(const Network& network, const NetworkRecord& record, bool wide) {
    std::vector<Line> lines{{"Bridge", record.bridge.to_string()}};
    std::ranges::move(address_lines(record), std::back_inserter(lines));
    if (record.vpn) {
        std::ranges::move(vpn_lines(network, *record.vpn, wide), std::back_inserter(lines));
    }
    lines.push_back({"Isolated", record.isolate ? "yes: its VMs do not reach each other" : "no"});
    lines.push_back({"Egress", egress_text(record)});
    lines.push_back({"DHCP", dhcp_text(network)});
    lines.push_back({"Created", record.created.to_string()});
    return lines;
}

} // namespace

std::span<const Column<Network>> network_columns() {
    return network_table;
}

std::string render_network(const Network& network, const OutputOptions& options) {
    std::vector<Line> lines{
        {"Name", network.name.to_string()},
        {"Type", network.spec ? std::string(to_string(network.spec->type)) : ""},
        {"State", std::string(to_string(network.state)), state_style(network)},
        {"Reason", network.reason.value_or("")},
        {"Starts at boot", yes_or_no(network.enabled)},
        {"Unit", network.unit},
        {"VMs", listed(network.vms)},
    };
    if (network.spec) {
        std::ranges::move(spec_lines(network, *network.spec, options.format == Format::wide),
                          std::back_inserter(lines));
    }
    const std::string peers = network.vpn ? render_peers(network.vpn->peers, options) : "";
    return render_lines(lines, options) + (peers.empty() ? "" : "\n" + peers);
}

std::string network_subject(const Name& name) {
    return "network " + name.to_string();
}

void print_networks(Session& session, const std::vector<Network>& networks) {
    print_list<Network>(session.out(), session.output_options(), networks, network_table);
}

void print_network(Session& session, const Network& network) {
    print_one<Network>(session.out(), session.output_options(), network, network_table, render_network);
}

} // namespace capsul::cli
