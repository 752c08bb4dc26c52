#include "daemon/vpn_book.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::size_t most_revoked = 1024;
constexpr int smallest_slice = 29; // eight addresses: four VMs

bool is_revoked(const VpnBook& book, const Identity& identity) {
    return std::ranges::find(book.revoked, identity) != book.revoked.end();
}

auto find_identity(VpnBook& book, const Identity& identity) {
    return std::ranges::find_if(book.peers, [&](const auto& peer) { return peer.node.identity == identity; });
}

void drop_revoked(VpnBook& book) {
    std::erase_if(book.peers, [&](const auto& peer) { return is_revoked(book, peer.node.identity); });
}

/// Of hosts that nobody has heard of there is room for so many; one that is known can always be revoked.
void add_revoked(VpnBook& book, const std::vector<Identity>& revoked) {
    for (const Identity& identity : revoked) {
        const bool has_room =
            book.revoked.size() < most_revoked || find_identity(book, identity) != book.peers.end();
        if (has_room && !is_revoked(book, identity)) {
            book.revoked.push_back(identity);
        }
    }
    drop_revoked(book);
}

Error about_node(const NetworkRecord& network, const VpnNode& node, ErrorCode code, const std::string& why,
                 const std::string& hint) {
    return {code, about_network(network.name, fmt::format("host {}: {}", node.name.to_string(), why)), hint};
}

std::optional<std::string> name_holder(const NetworkRecord& network, const VpnBook& book,
                                       const VpnNode& node) {
    if (node.name == network.vpn->node) {
        return "this host has that name";
    }
    const auto other =
        std::ranges::find_if(book.peers, [&](const auto& peer) { return peer.node.name == node.name; });
    return other != book.peers.end() && other->node.identity != node.identity
               ? std::optional("another host has that name")
               : std::nullopt;
}

/// Why a host's word is not taken in.
std::optional<Error> objection(const NetworkRecord& network, const VpnBook& book, const VpnNode& node) {
    if (is_revoked(book, node.identity)) {
        return about_node(network, node, ErrorCode::denied, "it has been revoked",
                          "it can join anew: there, delete the network and join again");
    }
    if (const auto holder = name_holder(network, book, node)) {
        return about_node(network, node, ErrorCode::in_use, *holder, "join with another --node");
    }
    return std::nullopt;
}

bool take_in(const NetworkRecord& network, VpnBook& book, const VpnStatement& statement) {
    if (objection(network, book, statement.node)) {
        return false;
    }
    const auto known = find_identity(book, statement.node.identity);
    if (known != book.peers.end()) {
        const bool renamed = known->node.name != statement.node.name;
        if (renamed || known->node.version >= statement.node.version) {
            return false;
        }
        *known = statement;
        return true;
    }
    if (book.peers.size() + 1 >= most_vpn_nodes) {
        return false;
    }
    book.peers.push_back(statement);
    return true;
}

/// Whoever introduces a host is told when that has come to nothing.
void require_taken_in(const NetworkRecord& network, VpnBook& book, const VpnNode& node) {
    const auto known = find_identity(book, node.identity);
    if (known == book.peers.end()) {
        throw about_node(network, node, ErrorCode::in_use,
                         fmt::format("the VPN has {} hosts, and no room for more", most_vpn_nodes),
                         "revoke hosts that are gone with `capsulctl network peer rm`");
    }
    if (known->node.name != node.name) {
        throw about_node(network, node, ErrorCode::in_use, "it is known as " + known->node.name.to_string(),
                         "a host that is to have another name joins anew");
    }
}

void require_same_vpn(const NetworkRecord& network, const VpnBundle& bundle) {
    if (bundle.id != network.vpn->id || bundle.subnet != network.subnet ||
        bundle.subnet6 != network.subnet6) {
        throw Error(ErrorCode::verification,
                    about_network(network.name, "that is of another VPN, " + bundle.network.to_string()),
                    "`capsulctl network export` on a host that is in this one gives what is needed");
    }
}

} // namespace

VpnBook merged(const NetworkRecord& network, const VpnBook& book, const VpnBundle& bundle, Speaker speaker) {
    require_same_vpn(network, bundle);
    VpnBook result = book;
    const VpnNode& first = bundle.nodes.front().node;
    if (speaker == Speaker::introduced && first.identity != network.vpn->identity) {
        if (const auto error = objection(network, result, first)) {
            throw Error(*error);
        }
        if (const auto problem = slice_problem(network, result, first)) {
            throw about_node(network, first, ErrorCode::in_use, *problem,
                             "there: `capsulctl network set --slice` chooses another");
        }
    }
    add_revoked(result, bundle.revoked);
    for (const VpnStatement& statement : bundle.nodes) {
        if (statement.node.identity != network.vpn->identity) {
            take_in(network, result, statement);
        }
    }
    if (speaker == Speaker::introduced && first.identity != network.vpn->identity) {
        require_taken_in(network, result, first);
    }
    std::ranges::sort(result.peers, {}, [](const VpnStatement& peer) { return peer.node.name; });
    return result;
}

VpnBook without_peer(const NetworkRecord& network, const VpnBook& book, const NodeName& node) {
    const auto found =
        std::ranges::find_if(book.peers, [&](const auto& peer) { return peer.node.name == node; });
    if (found == book.peers.end()) {
        throw Error(
            ErrorCode::not_found,
            about_network(network.name, fmt::format("knows no host {}", node.to_string())),
            fmt::format("`capsulctl network peer list {}` shows those there are", network.name.to_string()));
    }
    VpnBook result = book;
    add_revoked(result, {found->node.identity});
    return result;
}

std::optional<std::string> slice_problem(const NetworkRecord& network, const VpnBook& book,
                                         const VpnNode& peer) {
    if (peer.slice.overlaps(network.vpn->slice)) {
        return fmt::format("its slice {} overlaps with that of this host, {}", peer.slice.to_string(),
                           network.vpn->slice.to_string());
    }
    for (const VpnStatement& other : book.peers) {
        if (other.node.identity != peer.identity && other.node.slice.overlaps(peer.slice)) {
            return fmt::format("its slice {} overlaps with that of {}, {}", peer.slice.to_string(),
                               other.node.name.to_string(), other.node.slice.to_string());
        }
    }
    return std::nullopt;
}

namespace {

/// Who has a part of the slice; nothing if nobody.
std::optional<std::string> slice_holder(const NetworkRecord& network, const VpnBook& book, const Cidr& slice,
                                        bool with_own) {
    const bool has_own = with_own && network.vpn->slice.length() > 0; // one that joins has none yet
    if (has_own && slice.overlaps(network.vpn->slice)) {
        return "this host";
    }
    for (const VpnStatement& peer : book.peers) {
        if (peer.node.slice.overlaps(slice)) {
            return "host " + peer.node.name.to_string();
        }
    }
    for (const KeptSlice& kept : network.vpn->kept) {
        if (kept.slice.overlaps(slice)) {
            return fmt::format("host {}, for which it is kept", kept.node.to_string());
        }
    }
    return network.vpn->invited && network.vpn->invited->overlaps(slice)
               ? std::optional<std::string>("a host that is invited")
               : std::nullopt;
}

} // namespace

Cidr free_slice(const NetworkRecord& network, const VpnBook& book) {
    const Cidr& subnet = *network.subnet;
    const int length = vpn_slice_length(subnet);
    const std::uint64_t size = std::uint64_t{1} << static_cast<unsigned>(32 - length);
    for (Cidr slice = Cidr::around(subnet.first(), length);;
         slice = Cidr::around(slice.first().plus(size), length)) {
        if (!slice_holder(network, book, slice, true)) {
            return slice;
        }
        if (slice.last() == subnet.last()) {
            break;
        }
    }
    throw Error(ErrorCode::in_use,
                about_network(network.name, fmt::format("no slice of {} is free", subnet.to_string())),
                "revoke hosts that are gone with `capsulctl network peer rm`, or choose one with --slice");
}

void check_slice(const NetworkRecord& network, const VpnBook& book, const Cidr& slice) {
    const Cidr& subnet = *network.subnet;
    if (!subnet.contains(slice) || slice.length() == subnet.length()) {
        throw Error(ErrorCode::invalid,
                    fmt::format("slice: {} is not a part of {}", slice.to_string(), subnet.to_string()));
    }
    if (slice.length() > smallest_slice) {
        throw Error(ErrorCode::invalid,
                    fmt::format("slice: {} is smaller than /{}", slice.to_string(), smallest_slice));
    }
    if (const auto holder = slice_holder(network, book, slice, false)) {
        throw Error(ErrorCode::in_use,
                    about_network(network.name, fmt::format("{} is that of {}, in part or whole",
                                                            slice.to_string(), *holder)),
                    fmt::format("`capsulctl network show {}` shows the slices", network.name.to_string()));
    }
}

} // namespace capsul
