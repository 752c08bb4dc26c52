#include "daemon/nethelper/bridges.hpp"

#include "daemon/nethelper/die.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/random.h>

namespace capsul::nethelper {
namespace {

constexpr std::size_t max_addresses = 16;

/// Random, since a VPN may join two hosts' bridges of the same name; set, so that it does not change with the
/// ports.
Mac make_mac() {
    Mac mac{};
    if (::getrandom(mac.data(), mac.size(), 0) != static_cast<ssize_t>(mac.size())) {
        die_errno(errno, "no random address can be made");
    }
    mac[0] = 0x02;
    return mac;
}

bool has_ports(Links& links, int bridge) {
    Array<Link> all;
    links.list(all);
    return std::any_of(all.begin(), all.end(), [&](const Link& link) { return link.master == bridge; });
}

/// What an earlier run left that was killed between its two steps: no alias can be given to a bridge as it is
/// made.
bool is_half_made(Links& links, const Link& link) {
    return link.kind == Kind::bridge && !link.marked && !has_ports(links, link.index);
}

bool is_own(const Caller& caller, const Link& link) {
    return link.kind == Kind::bridge && link.belongs_to(caller.uid);
}

[[noreturn]] void refuse_foreign(const Name& name) {
    die(Exit::refused, "%s is there, and no bridge of yours", name.text.data());
}

[[noreturn]] void refuse_quota(const Caller& caller) {
    die(Exit::refused, "the policy allows %u bridges of your own",
        caller.policy.quota(caller.uid, Grant::bridge, own_bridges));
}

void remove_elements(Sets& sets, const Name& bridge) {
    const auto is_old = [&](const Element& element) { return element.interface() == bridge; };
    static_cast<void>(sets.replace(bridge_sets, is_old, {})); // no tables: nothing to remove
}

/// Another network of the host's would be cut off, or its addresses taken. The lowest index of an interface
/// that has such a network.
std::optional<int> find_clash(const Array<InterfaceAddress>& present, int bridge, const Cidr& wanted) {
    std::optional<int> lowest;
    for (const InterfaceAddress& one : present) {
        if (one.index != bridge && !one.link_scope && one.address.overlaps(wanted)) {
            lowest = std::min(lowest.value_or(one.index), one.index);
        }
    }
    return lowest;
}

[[noreturn]] void refuse_clash() {
    die(Exit::refused, "the network overlaps with that of another interface");
}

/// After an address was set: of two that were set at the same moment the higher index gives way, for which
/// the lower one waits, a while. Who does not give way was there before.
bool stays_free(Links& links, int bridge, const Cidr& wanted) {
    Patience patience;
    Array<InterfaceAddress> present;
    while (true) {
        links.list_addresses(present);
        const auto other = find_clash(present, bridge, wanted);
        if (!other) {
            return true;
        }
        if (*other < bridge || !patience.wait()) {
            return false;
        }
    }
}

/// Whether it is there already.
bool has_address(const Array<InterfaceAddress>& present, int bridge, const Cidr& wanted) {
    std::size_t count = 0;
    for (const InterfaceAddress& one : present) {
        if (one.index != bridge) {
            continue;
        }
        if (one.address.address == wanted.address && one.address.length == wanted.length) {
            return true;
        }
        if (one.address.address == wanted.address) {
            die(Exit::refused, "the bridge has this address with another length, /%u", one.address.length);
        }
        ++count;
    }
    if (count >= max_addresses) {
        die(Exit::refused, "a bridge has at most %zu addresses", max_addresses);
    }
    return false;
}

Bounded<Element, 130> egress_elements(const Arguments& arguments) {
    Bounded<Element, 130> wanted;
    const auto add = [&](const Element& element) { static_cast<void>(wanted.push_back(element)); };
    if (arguments.egress == Egress::full) {
        add(only_name(Set::full, arguments.name));
    }
    if (arguments.egress == Egress::dns_icmp) {
        add(only_name(Set::dns_icmp, arguments.name));
    }
    if (!arguments.isolated) {
        add(inside(arguments.name));
    }
    for (const Item& item : arguments.items) {
        add(allowed(arguments.name, item));
    }
    return wanted;
}

} // namespace

Link own_bridge(const Caller& caller, Links& links, const Name& name) {
    const auto link = links.find(name);
    if (!link || !is_own(caller, *link)) {
        die(Exit::refused, "%s is no bridge of yours", name.text.data());
    }
    return *link;
}

void add_bridge(const Caller& caller, Links& links, const Name& name) {
    bool created = false;
    if (!links.find(name)) {
        if (!fits_bridge_quota(caller, links, 0)) {
            refuse_quota(caller);
        }
        const int error = links.create_bridge(name, make_mac());
        if (error != 0 && error != EEXIST) {
            die_errno(error, "the bridge cannot be made");
        }
        created = error == 0;
    }
    const auto link = links.find(name);
    if (!link || (!is_own(caller, *link) && !is_half_made(links, *link))) {
        refuse_foreign(name);
    }
    if (!is_own(caller, *link) && !fits_bridge_quota(caller, links, link->index)) {
        if (created) {
            links.remove(link->index);
        }
        refuse_quota(caller);
    }
    links.configure_bridge(link->index, caller.uid);
}

void remove_bridge(const Caller& caller, Links& links, Sets& sets, const Name& name) {
    const auto link = links.find(name);
    if (link && !is_own(caller, *link) && !is_half_made(links, *link)) {
        refuse_foreign(name);
    }
    if (link && has_ports(links, link->index)) {
        die(Exit::refused, "%s has ports: remove them first", name.text.data());
    }
    remove_elements(sets, name);
    if (link) {
        links.remove(link->index);
        remove_elements(sets, name); // that came meanwhile
    }
}

void add_address(const Caller& caller, Links& links, const Arguments& arguments) {
    const Link bridge = own_bridge(caller, links, arguments.name);
    if (!caller.policy.covers(caller.uid, Grant::subnet, own_bridges, arguments.address)) {
        die(Exit::refused, "no \"subnet own\" line of the policy has this network");
    }
    Array<InterfaceAddress> present;
    links.list_addresses(present);
    if (has_address(present, bridge.index, arguments.address)) {
        return;
    }
    if (find_clash(present, bridge.index, arguments.address)) {
        refuse_clash();
    }
    const int error = links.add_address(bridge.index, arguments.address);
    if (error != 0 && error != EEXIST) { // somebody was quicker
        die_errno(error, "the address cannot be set");
    }
    if (error == 0 && !stays_free(links, bridge.index, arguments.address)) {
        links.remove_address(bridge.index, arguments.address);
        refuse_clash();
    }
}

void set_egress(const Caller& caller, Links& links, Sets& sets, const Arguments& arguments) {
    const Link bridge = own_bridge(caller, links, arguments.name);
    if (!caller.policy.allows_nat(caller.uid)) {
        die(Exit::refused, "the policy has no \"nat own\" line for you");
    }
    const auto is_old = [&](const Element& element) { return element.interface() == arguments.name; };
    const auto wanted = egress_elements(arguments);
    const int error = sets.replace(bridge_sets, is_old, {wanted.begin(), wanted.end()});
    if (error == EEXIST) {
        die(Exit::refused, "two ITEMs overlap in part: write their ports without overlap");
    }
    if (error == ENOENT) {
        die_without_tables();
    }
    if (!links.find(bridge.index)) {
        remove_elements(sets, arguments.name);
        die(Exit::refused, "%s was taken away meanwhile", arguments.name.text.data());
    }
}

} // namespace capsul::nethelper
