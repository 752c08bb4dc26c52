#include "daemon/peer/reachability.hpp"

#include "lib/fd.hpp"
#include "lib/json.hpp"

#include <algorithm>

namespace capsul::peer {

void Reachability::keep_only(const std::vector<NodeName>& nodes) {
    const std::lock_guard lock(mutex_);
    std::erase_if(status_.peers,
                  [&](const SyncPeer& peer) { return std::ranges::find(nodes, peer.node) == nodes.end(); });
}

bool Reachability::succeeded(const NodeName& node, std::optional<double> rtt_ms) {
    const std::lock_guard lock(mutex_);
    SyncPeer& peer = entry(node);
    const bool is_news = !peer.reachable;
    peer.reachable = true;
    peer.problem.reset();
    peer.last_seen = Timestamp::now();
    if (rtt_ms) {
        peer.rtt_ms = rtt_ms;
    }
    return is_news;
}

bool Reachability::failed(const NodeName& node, const std::string& problem) {
    const std::lock_guard lock(mutex_);
    SyncPeer& peer = entry(node);
    const bool is_news = peer.reachable || peer.problem != problem;
    peer.reachable = false;
    peer.problem = problem;
    return is_news;
}

void Reachability::write() {
    const std::lock_guard lock(mutex_);
    replace_file(file_, dump_json(encode(status_), 1) + "\n");
}

SyncPeer& Reachability::entry(const NodeName& node) {
    const auto found = std::ranges::find(status_.peers, node, &SyncPeer::node);
    if (found != status_.peers.end()) {
        return *found;
    }
    status_.peers.emplace_back().node = node;
    return status_.peers.back();
}

} // namespace capsul::peer
