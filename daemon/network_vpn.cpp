#include "daemon/network_vpn.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/journal.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_view.hpp"
#include "daemon/peer_unit.hpp"
#include "daemon/tinc_config.hpp"
#include "daemon/vpn_names.hpp"
#include "daemon/vpn_unit.hpp"
#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"
#include "lib/toml.hpp"
#include "lib/vpn_sync.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <set>
#include <span>
#include <unistd.h>

namespace capsul {
namespace {

constexpr std::chrono::seconds patience{30};

std::optional<IpAddress> ip6_of(const NetworkRecord& network, const Cidr& slice) {
    return network.subnet6 ? std::optional(vpn_ip6(*network.subnet6, vpn_host_ip(slice))) : std::nullopt;
}

VpnPeer peer_of(const NetworkRecord& network, const VpnBook& book, const VpnNode& node) {
    VpnPeer peer;
    peer.node = node.name;
    peer.addresses = node.addresses;
    peer.slice = node.slice;
    peer.ip = vpn_host_ip(node.slice);
    peer.ip6 = ip6_of(network, node.slice);
    peer.identity = node.identity;
    peer.vms = node.guests.size();
    peer.problem = slice_problem(network, book, node);
    return peer;
}

NamedHost named(const NetworkRecord& network, const VpnNode& node) {
    return {node.name, vpn_host_ip(node.slice), ip6_of(network, node.slice), node.guests};
}

std::string names_of(const NetworkRecord& network, const VpnBundle& bundle) {
    std::vector<NamedHost> others;
    for (const VpnStatement& peer : std::span(bundle.nodes).subspan(1)) {
        others.push_back(named(network, peer.node));
    }
    return vpn_hosts_file(network.name, named(network, bundle.nodes.front().node), others);
}

/// Removes what is in the folder and not in `wanted`.
bool remove_others(const fs::path& folder, const std::set<std::string>& wanted) {
    bool removed = false;
    for (const auto& entry : fs::directory_iterator(folder)) {
        if (!wanted.contains(entry.path().filename().string())) {
            removed = remove_whole(entry.path()) || removed;
        }
    }
    return removed;
}

std::string peer_file(const NodeName& node) {
    return node.to_string() + ".toml";
}

std::string toml_of(const VpnStatement& statement) {
    return json_to_toml(encode(statement), "What a host of the VPN says of itself, signed by it: an edit "
                                           "makes it worthless. Written by capsul.");
}

/// In the order in which they stop.
std::array<std::string, 4> units_of(const Name& network) {
    return {check_unit_name(network), invite_unit_name(network), peer_unit_name(network),
            vpn_unit_name(network)};
}

std::uint64_t seconds_now() {
    return static_cast<std::uint64_t>(Timestamp::now().value().time_since_epoch().count());
}

} // namespace

bool has_tincd() {
    return ::access(tincd_program, X_OK) == 0;
}

void require_vpn_programs() {
    const auto refuse = [](const char* package, const char* program) {
        throw Error(ErrorCode::not_capable,
                    fmt::format("{} is not installed: {} is missing", package, program),
                    fmt::format("sudo apt install {}", package));
    };
    if (!has_tincd()) {
        refuse("tinc", tincd_program);
    }
    if (!has_dnsmasq()) {
        refuse("dnsmasq-base", dnsmasq_program);
    }
}

void NetworkVpn::make_keys(NetworkRecord& network) const {
    const fs::path tinc = folder(network.name) / "tinc";
    make_folders(tinc);
    const RsaKeyPair pair = RsaKeyPair::generate();
    const PrivateIdentity identity = PrivateIdentity::generate();
    replace_file(tinc / "rsa_key.priv", pair.private_pem);
    replace_file(folder(network.name) / "identity.key", identity.to_pem());
    network.vpn->key = pair.public_key;
    network.vpn->identity = identity.identity();
}

VpnBook NetworkVpn::book(const NetworkRecord& network) const {
    VpnBook book{{}, network.vpn->revoked};
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(folder(network.name) / "peers", none)) {
        try {
            auto statement = load_toml<VpnStatement>(entry.path());
            const bool is_whole = entry.path().filename() == peer_file(statement.node.name);
            const bool is_revoked =
                std::ranges::find(book.revoked, statement.node.identity) != book.revoked.end();
            if (is_whole && !is_revoked && statement.is_genuine()) {
                book.peers.push_back(std::move(statement));
            }
        } catch (const Error&) {
            // Edited: that host will tell again.
        }
    }
    std::ranges::sort(book.peers, {}, [](const VpnStatement& peer) { return peer.node.name; });
    return book;
}

void NetworkVpn::save_book(const NetworkRecord& network, const VpnBook& book) {
    const std::lock_guard lock(mutex_);
    const fs::path peers = folder(network.name) / "peers";
    make_folders(peers);
    std::set<std::string> wanted;
    for (const VpnStatement& peer : book.peers) {
        const std::string file = peer_file(peer.node.name);
        wanted.insert(file);
        update_file(peers / file, toml_of(peer));
    }
    if (remove_others(peers, wanted)) {
        sync_folder(peers);
    }
}

VpnNode NetworkVpn::own_node(const NetworkRecord& network) const {
    const VpnRecord& vpn = *network.vpn;
    VpnNode node{vpn.node, vpn.id, 0, vpn.identity, vpn.key, vpn.addresses, vpn.slice, {}};
    for (const auto& [vm, nic] : plugged_nics(store_)) {
        if (nic.network == network.name && node.guests.size() < most_vpn_guests) {
            node.guests.push_back({vm, nic.ip, nic.ip6});
        }
    }
    return node;
}

std::optional<VpnBundle> NetworkVpn::published(const NetworkRecord& network) const {
    try {
        return VpnBundle::from_text(read_file(folder(network.name) / "peer/bundle.json", most_bundle_bytes));
    } catch (const Error&) {
        return std::nullopt; // not yet, or lost
    }
}

/// Should what was published last be lost, the time makes up for it: versions count up by less than one a
/// second.
VpnBundle NetworkVpn::publish(const NetworkRecord& network) {
    const VpnBook known = book(network);
    VpnNode own = own_node(network);
    const auto before = published(network);
    own.version = before ? before->nodes.front().node.version : seconds_now();
    VpnStatement statement = before ? before->nodes.front() : VpnStatement();
    if (!before || before->nodes.front().node != own) {
        own.version = std::max(own.version + 1, seconds_now());
        const std::string pem = read_file(folder(network.name) / "identity.key");
        statement = VpnStatement::make(own, PrivateIdentity::parse(pem));
    }
    VpnBundle bundle{1,  network.name, network.vpn->id, *network.subnet, network.subnet6, network.vpn->mtu,
                     {}, {statement},  known.revoked};
    bundle.nodes.insert(bundle.nodes.end(), known.peers.begin(), known.peers.end());
    dhcp_.write_names(network.name, names_of(network, bundle));
    const std::string text = dump_json(encode(bundle)) + "\n";
    make_folders(inbox(network.name));
    inboxes_.add(inbox(network.name));
    if (update_file(folder(network.name) / "peer/bundle.json", text)) {
        const std::string unit = peer_unit_name(network.name);
        if (systemd_.status(unit).active_state == "active") {
            systemd_.reload_unit(unit, patience);
        }
    }
    return bundle;
}

VpnBundle NetworkVpn::bundle(const NetworkRecord& network) {
    const std::lock_guard lock(mutex_);
    return publish(latest(network));
}

/// Whoever has waited for the lock may have an old one. One that is being made has none on disk.
NetworkRecord NetworkVpn::latest(const NetworkRecord& network) const {
    const auto stored = store_.networks.find(network.name);
    return stored && stored->record ? *stored->record : network;
}

/// Whether tincd has what its files say, or will when it starts.
bool NetworkVpn::tell_tincd(const Name& network) {
    const std::string unit = vpn_unit_name(network);
    const std::string state = systemd_.status(unit).active_state;
    if (state == "active" || state == "reloading") {
        return systemd_.reload_unit(unit, patience) == JobResult::done;
    }
    return is_stopped(state);
}

/// Whether tincd has something to read again.
bool NetworkVpn::write_tinc(const NetworkRecord& network, const VpnBook& book) const {
    const fs::path tinc = folder(network.name) / "tinc";
    make_folders(tinc / "hosts");
    std::vector<VpnNode> peers;
    std::set<std::string> wanted{network.vpn->node.to_string()};
    bool changed = update_file(tinc / "hosts" / network.vpn->node.to_string(), tinc_own_host(*network.vpn));
    for (const VpnStatement& peer : book.peers) {
        const std::string& name = peer.node.name.to_string();
        wanted.insert(name);
        peers.push_back(peer.node);
        changed = update_file(tinc / "hosts" / name, tinc_host(peer.node)) || changed;
    }
    changed = remove_others(tinc / "hosts", wanted) || changed;
    return update_file(tinc / "tinc.conf", tinc_config(network, peers)) || changed;
}

/// tincd is told before anything else can fail: whoever is revoked is cut off. When it was not, or may not
/// have been, because of an error here or the end of capsuld, the next time makes up for it.
void NetworkVpn::write_files(const NetworkRecord& network) {
    if (!network.vpn) {
        return;
    }
    const std::lock_guard lock(mutex_);
    const NetworkRecord now = latest(network);
    const std::string unit = vpn_unit_name(now.name);
    const bool was_told = told_.erase(now.name) > 0;
    const bool changed = write_tinc(now, book(now));
    if ((!changed && was_told) || tell_tincd(now.name)) {
        told_.insert(now.name);
    }
    const auto tincd = units_.write(unit, vpn_unit(now, folder(now.name), programs_));
    const auto peer =
        units_.write(peer_unit_name(now.name), peer_unit(now, folder(now.name), paths_.runtime, programs_));
    make_folders(findings_file(folder(now.name)).parent_path());
    const auto check = units_.write(check_unit_name(now.name), check_unit(now, folder(now.name), programs_));
    if (tincd == Written::changed || peer == Written::changed || check == Written::changed) {
        systemd_.reload();
    }
    publish(now);
}

void NetworkVpn::nics_changed(const std::vector<Name>& networks) {
    const std::lock_guard lock(mutex_);
    for (const Name& name : networks) {
        const auto network = store_.networks.find(name);
        if (network && network->record && network->record->vpn) {
            publish(*network->record);
        }
    }
}

void NetworkVpn::start_unit(const Name& network, const std::string& unit, const char* what,
                            std::chrono::milliseconds limit) {
    if (systemd_.status(unit).active_state != "active") {
        systemd_.reset_failed(unit);
    }
    if (systemd_.start(unit, limit) != JobResult::done) {
        const auto lines = last_words(systemd_.status(unit), 3);
        throw Error(
            ErrorCode::internal,
            about_network(network, fmt::format("{} does not start: {}", what, fmt::join(lines, "; "))),
            "`capsulctl doctor` tells what this host lacks");
    }
}

void NetworkVpn::start(const NetworkRecord& network) {
    if (network.vpn) {
        start_unit(network.name, vpn_unit_name(network.name), "its tincd", patience);
        start_unit(network.name, peer_unit_name(network.name), "what tells other hosts", patience);
    }
}

void NetworkVpn::stop(const Name& network) {
    for (const std::string& unit : units_of(network)) {
        units_.take_down(systemd_, unit, patience);
    }
    remove_whole(invitation_file(folder(network)));
}

void NetworkVpn::remove_units(const Name& network) {
    for (const std::string& unit : units_of(network)) {
        units_.remove(unit);
    }
}

void NetworkVpn::tell(const Name& network) {
    const std::string unit = peer_unit_name(network);
    if (systemd_.status(unit).active_state == "active") {
        systemd_.reload_unit(unit, patience);
    }
}

SyncStatus NetworkVpn::reached(const Name& network) const {
    try {
        return parse<SyncStatus>(read_file(peer_status_file(paths_.runtime, network)));
    } catch (const Error&) {
        return {}; // it does not run, or has only begun
    }
}

VpnStatus NetworkVpn::status(const NetworkRecord& network, NetworkState tunnel) const {
    const VpnRecord& vpn = *network.vpn;
    VpnStatus status;
    status.tunnel = tunnel;
    status.ip = vpn_host_ip(vpn.slice);
    status.ip6 = ip6_of(network, vpn.slice);
    status.resolver = vpn_resolver_ip(vpn.slice);
    if (const auto link = find_link(vpn.trunk.to_string())) {
        status.counters = link->counters;
    }
    const VpnBook known = book(network);
    const SyncStatus found = reached(network.name);
    for (const VpnStatement& statement : known.peers) {
        VpnPeer peer = peer_of(network, known, statement.node);
        const auto reached = std::ranges::find(found.peers, peer.node, &SyncPeer::node);
        if (reached != found.peers.end()) {
            peer.reachable = reached->reachable;
            peer.last_seen = reached->last_seen;
            peer.problem = peer.problem ? peer.problem : reached->problem;
        }
        status.peers.push_back(std::move(peer));
    }
    return status;
}

std::vector<NetworkVpn::Heard> NetworkVpn::heard(const Name& network) const {
    std::vector<Heard> bundles;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(inbox(network), none)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with('.') || !name.ends_with(".json")) {
            continue; // being written, or left by a crash
        }
        try {
            bundles.push_back(
                {entry.path(), VpnBundle::from_text(read_file(entry.path(), most_bundle_bytes))});
        } catch (const Error&) {
            remove_whole(entry.path()); // the rules are stricter than when it came; its sender tells again
        }
    }
    return bundles;
}

void NetworkVpn::open_inbox(const Name& network) {
    try {
        inboxes_.add(inbox(network));
    } catch (const Error&) {
        // Not there yet, or no more.
    }
}

void NetworkVpn::end_invitation(const Name& network) const {
    units_.take_down(systemd_, invite_unit_name(network), patience);
    remove_whole(invitation_file(folder(network)));
}

/// Who has begun to join in time may finish.
bool NetworkVpn::is_inviting(const Name& network) const {
    try {
        const auto open = parse<Invitation>(read_file(invitation_file(folder(network))));
        return open.expires.value() + joining_time + taking_in_time > Timestamp::now().value();
    } catch (const Error&) {
        return false; // there is none
    }
}

void NetworkVpn::invite(const NetworkRecord& network, const Invitation& invitation) {
    const fs::path file = invitation_file(folder(network.name));
    const std::string unit = invite_unit_name(network.name);
    make_folders(file.parent_path());
    replace_file(file, dump_json(encode(invitation)));
    const auto lasts = invitation.expires.value() - Timestamp::now().value();
    if (units_.write(unit, invite_unit(network, folder(network.name), programs_, lasts)) ==
        Written::changed) {
        systemd_.reload();
    }
    start_unit(network.name, unit, "what listens for who is invited", patience);
}

std::vector<PeerFinding> NetworkVpn::check(const NetworkRecord& network) {
    const fs::path file = findings_file(folder(network.name));
    remove_whole(file);
    std::vector<PeerFinding> findings;
    const VpnBook known = book(network);
    for (const VpnStatement& peer : known.peers) {
        if (const auto problem = slice_problem(network, known, peer.node)) {
            findings.push_back({peer.node.name,
                                "slice",
                                Severity::failure,
                                *problem,
                                "`capsulctl network set --slice` gives a host another one",
                                {}});
        }
    }
    start_unit(network.name, check_unit_name(network.name), "what tries other hosts", check_limit);
    std::ranges::move(parse<PeerFindings>(read_file(file)).findings, std::back_inserter(findings));
    remove_whole(file);
    std::ranges::stable_sort(findings, {}, &PeerFinding::node);
    return findings;
}

} // namespace capsul
