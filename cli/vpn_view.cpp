#include "cli/vpn_view.hpp"

#include "cli/nic_view.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

/// Enough of a key to tell two apart, and to compare by eye.
constexpr std::size_t short_identity = 16;

std::string identity_text(const Identity& identity, bool whole) {
    return whole ? identity.to_string() : identity.to_string().substr(0, short_identity);
}

template <class Address>
std::string addresses_text(const std::vector<Address>& addresses) {
    return joined(addresses, [](const Address& address) { return address.to_string(); });
}

std::string reachable_text(const VpnPeer& peer) {
    return peer.reachable ? (*peer.reachable ? "yes" : "no") : "-";
}

Style reachable_style(const VpnPeer& peer) {
    return peer.reachable ? (*peer.reachable ? Style::good : Style::bad) : Style::faint;
}

constexpr std::array<Column<VpnPeer>, 10> columns{{
    {"node", [](const VpnPeer& peer) { return peer.node.to_string(); }},
    {"reachable", reachable_text, Shown::always, false, reachable_style},
    {"last-seen", [](const VpnPeer& peer) { return optional_text(peer.last_seen); }},
    {"addresses", [](const VpnPeer& peer) { return addresses_text(peer.addresses); }},
    {"slice", [](const VpnPeer& peer) { return peer.slice.to_string(); }},
    {"ip", [](const VpnPeer& peer) { return peer.ip.to_string(); }, Shown::wide},
    {"ip6", [](const VpnPeer& peer) { return optional_text(peer.ip6); }, Shown::wide},
    {"vms", [](const VpnPeer& peer) { return std::to_string(peer.vms); }, Shown::always, true},
    {"identity", [](const VpnPeer& peer) { return peer.identity.to_string(); }, Shown::wide},
    {"problem", [](const VpnPeer& peer) { return peer.problem.value_or(""); }, Shown::filled, false,
     [](const VpnPeer&) { return Style::bad; }},
}};

Style tunnel_style(NetworkState state) {
    if (state == NetworkState::running) {
        return Style::good;
    }
    return state == NetworkState::failed ? Style::bad : Style::plain;
}

std::string own_address(const VpnStatus& status) {
    return status.ip.to_string() + (status.ip6 ? ", " + status.ip6->to_string() : "");
}

std::string kept_text(const VpnRecord& record) {
    std::string text = record.invited ? record.invited->to_string() + " for who is invited" : "";
    for (const KeptSlice& kept : record.kept) {
        text += fmt::format("{}{} for {}", text.empty() ? "" : ", ", kept.slice.to_string(),
                            kept.node.to_string());
    }
    return text;
}

std::vector<Line> status_lines(const Network& network, const VpnStatus& status) {
    std::vector<Line> lines{{"Tunnel", std::string(to_string(status.tunnel)), tunnel_style(status.tunnel)}};
    if (status.counters) {
        std::ranges::move(carried_lines(*status.counters), std::back_inserter(lines));
    }
    lines.push_back({"Host's address", own_address(status)});
    lines.push_back({"Names", fmt::format("VM.{}.capsul, asked of {}", network.name.to_string(),
                                          status.resolver.to_string())});
    return lines;
}

} // namespace

std::span<const Column<VpnPeer>> peer_columns() {
    return columns;
}

std::string peers_text(const Network& network) {
    if (!network.vpn) {
        return "";
    }
    const auto reached = std::ranges::count(network.vpn->peers, std::optional(true), &VpnPeer::reachable);
    return fmt::format("{}/{}", reached, network.vpn->peers.size());
}

std::vector<Line> vpn_lines(const Network& network, const VpnRecord& record, bool wide) {
    std::vector<Line> lines{
        {"Node", record.node.to_string()},
        {"Slice", record.slice.to_string()},
        {"Kept slices", kept_text(record)},
        {"Reached at",
         record.addresses.empty() ? "nowhere: this host calls the others" : addresses_text(record.addresses)},
        {"Port", fmt::format("{} (TCP and UDP)", record.port)},
        {"MTU", std::to_string(record.mtu)},
        {"Identity", identity_text(record.identity, wide)},
        {"Revoked", record.revoked.empty()
                        ? ""
                        : joined(record.revoked,
                                 [&](const Identity& identity) { return identity_text(identity, wide); })},
    };
    if (network.vpn) {
        std::ranges::move(status_lines(network, *network.vpn), std::back_inserter(lines));
        lines.push_back(
            {"Peers", network.vpn->peers.empty() ? "none yet" : peers_text(network) + " reachable"});
    }
    return lines;
}

std::string render_peers(const std::vector<VpnPeer>& peers, const OutputOptions& options) {
    return peers.empty() ? "" : render_grid(make_grid<VpnPeer>(peers, columns, options), options);
}

} // namespace capsul::cli
