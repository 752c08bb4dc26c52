#include "daemon/nethelper/caller.hpp"

#include <algorithm>
#include <ctime>

namespace capsul::nethelper {
namespace {

/// Somebody is making it, under a name of the caller's, and was first.
bool is_ahead(const Caller& caller, const Link& link, int self) {
    return link.index < self && link.name.starts_with(caller.prefix);
}

/// What the kernel tells, when nothing is `unsettled` any more or patience is at its end.
template <class Unsettled>
void list_settled(Links& links, Array<Link>& all, const Unsettled& unsettled) {
    Patience patience;
    do {
        links.list(all);
    } while (std::any_of(all.begin(), all.end(), unsettled) && patience.wait());
}

bool is_own_bridge(const Caller& caller, const Array<Link>& all, int index) {
    return std::any_of(all.begin(), all.end(), [&](const Link& link) {
        return link.index == index && link.kind == Kind::bridge && link.belongs_to(caller.uid);
    });
}

} // namespace

bool Patience::wait() {
    constexpr timespec pause{0, 5'000'000};
    if (left_ == 0) {
        return false;
    }
    --left_;
    ::clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    return true;
}

bool fits_bridge_quota(const Caller& caller, Links& links, int self) {
    const auto unmarked = [&](const Link& link) {
        return link.kind == Kind::bridge && !link.marked && is_ahead(caller, link, self);
    };
    Array<Link> all;
    list_settled(links, all, unmarked);
    // What was left half-made counts before one more is made, or whoever is killed often enough has any
    // number.
    const auto half_made = [&](const Link& link) {
        return self == 0 ? !link.marked && link.name.starts_with(caller.prefix) : unmarked(link);
    };
    const auto counts = [&](const Link& link) {
        return link.index != self && link.kind == Kind::bridge &&
               (link.belongs_to(caller.uid) || half_made(link));
    };
    return std::count_if(all.begin(), all.end(), counts) <
           caller.policy.quota(caller.uid, Grant::bridge, own_bridges);
}

bool fits_tap_quota(const Caller& caller, Links& links, const Link& bridge, int self, Array<Link>& all) {
    const auto unplugged = [&](const Link& link) {
        return link.is_tap_in_flight() && (!link.marked || link.master == 0) && is_ahead(caller, link, self);
    };
    list_settled(links, all, unplugged);
    const bool on_own = bridge.belongs_to(caller.uid);
    const auto is_near = [&](const Link& link) {
        return on_own ? is_own_bridge(caller, all, link.master) : link.master == bridge.index;
    };
    const auto counts = [&](const Link& link) {
        const bool plugged = link.kind == Kind::tap && link.belongs_to(caller.uid) &&
                             (link.persistent || link.index < self) && is_near(link);
        return link.index != self && (plugged || unplugged(link));
    };
    return std::count_if(all.begin(), all.end(), counts) < caller.tap_quota(bridge);
}

unsigned Caller::tap_quota(const Link& bridge) const {
    return policy.quota(uid, Grant::tap, bridge.belongs_to(uid) ? own_bridges : bridge.name.view());
}

} // namespace capsul::nethelper
