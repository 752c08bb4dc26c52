#include "lib/vpn_sync.hpp"

#include <algorithm>

namespace capsul {
namespace {

bool has_revoked(const VpnBundle& bundle, const Identity& identity) {
    return std::ranges::find(bundle.revoked, identity) != bundle.revoked.end();
}

const VpnNode* node_of(const VpnBundle& bundle, const Identity& identity) {
    const auto found = std::ranges::find_if(
        bundle.nodes, [&](const VpnStatement& known) { return known.node.identity == identity; });
    return found == bundle.nodes.end() ? nullptr : &found->node;
}

} // namespace

bool says_more(const VpnBundle& theirs, const VpnBundle& own) {
    const auto is_newer = [&](const VpnStatement& said) {
        if (has_revoked(own, said.node.identity)) {
            return false;
        }
        const VpnNode* const known = node_of(own, said.node.identity);
        return known == nullptr || known->version < said.node.version;
    };
    const auto is_news = [&](const Identity& revoked) { return !has_revoked(own, revoked); };
    return std::ranges::any_of(theirs.nodes, is_newer) || std::ranges::any_of(theirs.revoked, is_news);
}

std::optional<NodeName> member_of(const VpnBundle& bundle, const Identity& identity) {
    const VpnNode* const node = has_revoked(bundle, identity) ? nullptr : node_of(bundle, identity);
    return node == nullptr ? std::nullopt : std::optional(node->name);
}

} // namespace capsul
