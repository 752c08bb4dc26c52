#include "daemon/nethelper/taps.hpp"

#include "daemon/nethelper/bridges.hpp"
#include "daemon/nethelper/die.hpp"
#include "daemon/nethelper/tap_device.hpp"

#include <algorithm>
#include <cerrno>
#include <sys/random.h>

namespace capsul::nethelper {
namespace {

using Elements = Bounded<Element, 34>;

/// What a TAP shall be like.
struct Plug {
    Name name;
    Link bridge;
    Port port;
    /// Of the TAP itself: fe:…, the highest, so that no bridge ever takes it for its own.
    Mac mac{};
    /// The one that its guest has; a trunk has none.
    std::optional<Mac> guest;
    Elements elements;
};

/// One of the caller's, or one of the administrator's that the policy names.
Link find_bridge(const Caller& caller, Links& links, const Name& name) {
    if (name.starts_with(caller.prefix)) {
        return own_bridge(caller, links, name);
    }
    // A bridge that is called what the policy calls the caller's own has no line.
    if (name.view() == own_bridges || caller.policy.quota(caller.uid, Grant::tap, name.view()) == 0) {
        die(Exit::refused, "the policy has no \"tap %s\" line for you", name.text.data());
    }
    const auto link = links.find(name);
    if (!link || link->kind != Kind::bridge) {
        die(Exit::refused, "there is no bridge %s", name.text.data());
    }
    return *link;
}

void require_allowed(const Caller& caller, const Link& bridge, const Address& address) {
    const bool own = bridge.belongs_to(caller.uid);
    const Grant grant = own ? Grant::subnet : Grant::ip;
    const std::string_view where = own ? own_bridges : bridge.name.view();
    const Cidr host{address, static_cast<std::uint8_t>(address.bits())};
    if (!caller.policy.covers(caller.uid, grant, where, host)) {
        die(Exit::refused, "no \"%s %s\" line of the policy has the address %s", own ? "subnet" : "ip",
            own ? own_bridges.data() : bridge.name.text.data(), to_text(address).data());
    }
}

/// What may be pinned to every address need not be pinned.
void require_any_allowed(const Caller& caller, const Link& bridge) {
    const Cidr every = parse_cidr("0.0.0.0/0").value_or(Cidr{});
    if (bridge.belongs_to(caller.uid) ||
        !caller.policy.covers(caller.uid, Grant::ip, bridge.name.view(), every)) {
        die(Exit::refused, "the policy has no \"ip %s 0.0.0.0/0\" line for you", bridge.name.text.data());
    }
}

[[noreturn]] void refuse_quota(const Caller& caller, const Plug& plug) {
    const bool own = plug.bridge.belongs_to(caller.uid);
    die(Exit::refused, "the policy allows %u TAPs on %s", caller.tap_quota(plug.bridge),
        own ? "your own bridges" : plug.bridge.name.text.data());
}

[[noreturn]] void refuse_mac(const Plug& plug) {
    die(Exit::refused, "%s knows this MAC already; one that went away is forgotten after five minutes",
        plug.bridge.name.text.data());
}

void fix_mac(Links& links, int index, const Plug& plug) {
    const int error = links.fix_mac(index, *plug.guest);
    if (error == EEXIST) {
        refuse_mac(plug);
    }
    if (error != 0) {
        die_errno(error, "the MAC cannot be fixed to the port");
    }
}

/// Whether the tables are loaded.
template <class IsOld>
bool set_elements(Sets& sets, const Plug& plug, const IsOld& is_old) {
    const int error = sets.replace(tap_sets, is_old, {plug.elements.begin(), plug.elements.end()});
    if (error != 0 && !plug.port.locked) {
        die_without_tables();
    }
    return error == 0;
}

/// Beside the TAP's own elements, those go that a run left which was killed before its TAP was committed.
/// `present` is from before the elements were read: who is not in it may have come since.
bool set_elements_and_sweep(const Caller& caller, Links& links, Sets& sets, const Plug& plug,
                            Array<Link>& present) {
    const auto by_name = [](const Link& a, const Link& b) { return a.name < b.name; };
    std::sort(present.begin(), present.end(), by_name);
    unsigned room = 64; // for more there is another time
    return set_elements(sets, plug, [&](const Element& element) {
        Link named;
        named.name = element.interface();
        const bool is_lost = named.name.starts_with(caller.prefix) &&
                             !std::binary_search(present.begin(), present.end(), named, by_name) &&
                             room > 0 && !links.find(named.name);
        room -= is_lost ? 1 : 0;
        return named.name == plug.name || is_lost;
    });
}

/// The last look before it counts. A kernel before 5.18 ignores what it does not know of a port.
void require_in_force(Links& links, int index, const Plug& plug) {
    const auto link = links.find(index);
    if (!link || link->master != plug.bridge.index) {
        die(Exit::refused, "the TAP or the bridge was taken away meanwhile");
    }
    if (!plug.port.is_in_force(*link)) {
        die(Exit::kernel, "the kernel does not lock bridge ports: Linux 5.18 or later is needed");
    }
}

void tell_unpinned(const Plug& plug, bool pinned) {
    if (!pinned && !plug.elements.empty()) {
        print("capsul-net: %s: no address pinning: the nftables table is not loaded\n",
              plug.name.text.data());
    }
}

void put_into_bridge(const Caller& caller, Links& links, int index, const Plug& plug) {
    const int error = links.configure_tap(index, caller.uid, plug.mac, plug.bridge.mtu, plug.bridge.index);
    if (error == EXFULL) {
        die(Exit::refused, "bridge full: %s has as many ports as the kernel allows",
            plug.bridge.name.text.data());
    }
    if (error != 0) {
        die_errno(error, "the TAP cannot be plugged in");
    }
}

/// Until it is kept, at the very end, it goes with this process. False when the name is taken: what is in the
/// way may be the TAP itself, made since it was looked for.
bool create(const Caller& caller, Links& links, Sets& sets, const Plug& plug) {
    Array<Link> present;
    const bool fits = fits_tap_quota(caller, links, plug.bridge, 0, present);
    const bool knows_mac = plug.guest && links.knows_mac(plug.bridge.index, *plug.guest);
    if ((!fits || knows_mac) && links.find(plug.name)) {
        return false;
    }
    if (!fits) {
        refuse_quota(caller, plug);
    }
    if (knows_mac) {
        refuse_mac(plug);
    }
    TapDevice device;
    if (device.create(plug.name) != 0) {
        return false;
    }
    device.give_to(caller.uid);
    const int index = links.index_of(plug.name);
    put_into_bridge(caller, links, index, plug);
    links.set_port(index, plug.port);
    if (plug.guest) {
        fix_mac(links, index, plug);
    }
    if (!fits_tap_quota(caller, links, plug.bridge, index, present)) {
        refuse_quota(caller, plug);
    }
    const bool pinned = set_elements_and_sweep(caller, links, sets, plug, present);
    links.set_up(index);
    require_in_force(links, index, plug);
    device.keep();
    tell_unpinned(plug, pinned);
    return true;
}

/// Leaves to the port no MAC but the guest's.
void forget_other_macs(Links& links, int index, const Plug& plug) {
    Array<FdbEntry> fixed;
    links.list_fixed_macs(plug.bridge.index, fixed);
    for (const FdbEntry& entry : fixed) {
        if (entry.index == index && entry.mac != plug.guest) {
            links.forget_mac(index, entry.mac);
        }
    }
}

bool has_guest_mac(Links& links, int index, const Plug& plug) {
    Array<FdbEntry> fixed;
    links.list_fixed_macs(plug.bridge.index, fixed);
    return std::any_of(fixed.begin(), fixed.end(), [&](const FdbEntry& entry) {
        return entry.index == index && entry.mac == plug.guest;
    });
}

/// One whose bridge was taken away, and is there again. It is down until its port is locked: its guest may be
/// running.
void plug_in_again(const Caller& caller, Links& links, int index, const Plug& plug) {
    Array<Link> all;
    if (!fits_tap_quota(caller, links, plug.bridge, index, all)) {
        refuse_quota(caller, plug);
    }
    links.set_down(index);
    put_into_bridge(caller, links, index, plug);
    if (!fits_tap_quota(caller, links, plug.bridge, index, all)) {
        links.remove(index);
        refuse_quota(caller, plug);
    }
}

/// Whatever the TAP's user may have changed, by the rights that come with owning it, is as it was.
void refresh(Links& links, Sets& sets, uid_t owner, int index, const Plug& plug) {
    if (plug.guest && !has_guest_mac(links, index, plug)) {
        fix_mac(links, index, plug);
    }
    const bool pinned =
        set_elements(sets, plug, [&](const Element& element) { return element.interface() == plug.name; });
    const int error = links.configure_tap(index, owner, plug.mac, plug.bridge.mtu, 0);
    if (error != 0) {
        die_errno(error, "the TAP cannot be set");
    }
    links.set_port(index, plug.port);
    forget_other_macs(links, index, plug);
    links.set_up(index);
    require_in_force(links, index, plug);
    tell_unpinned(plug, pinned);
}

void require_ours(const Caller& caller, const Link& link, const Plug& plug) {
    const bool elsewhere = link.master != 0 && link.master != plug.bridge.index;
    if (link.kind != Kind::tap || !link.belongs_to(caller.uid) || elsewhere) {
        die(Exit::refused, "%s is there, and no TAP of yours on %s", plug.name.text.data(),
            plug.bridge.name.text.data());
    }
    if (link.is_tap_in_flight()) {
        die(Exit::refused, "%s is being made by another process", plug.name.text.data());
    }
}

/// One that is being made, or goes away, is waited for, a while.
std::optional<Link> find_settled(Links& links, const Name& name) {
    Patience patience;
    auto link = links.find(name);
    while (link && link->is_tap_in_flight() && patience.wait()) {
        link = links.find(name);
    }
    return link;
}

void restore(const Caller& caller, Links& links, Sets& sets, const Link& link, const Plug& plug) {
    if (link.master == 0) {
        plug_in_again(caller, links, link.index, plug);
    }
    refresh(links, sets, caller.uid, link.index, plug);
}

void plug_in(const Caller& caller, Links& links, Sets& sets, const Plug& plug) {
    auto link = find_settled(links, plug.name);
    if (link) {
        require_ours(caller, *link, plug);
        if (link->tap_user == caller.uid && link->tap_group == nobody) {
            restore(caller, links, sets, *link, plug);
            return;
        }
        links.remove(link->index); // given away by who owned it
    }
    if (create(caller, links, sets, plug)) {
        return;
    }
    // Somebody was quicker.
    link = find_settled(links, plug.name);
    if (!link) {
        die(Exit::refused, "%s is being made by another process", plug.name.text.data());
    }
    require_ours(caller, *link, plug);
    restore(caller, links, sets, *link, plug);
}

} // namespace

void add_tap(const Caller& caller, Links& links, Sets& sets, const Arguments& arguments) {
    Plug plug;
    plug.name = arguments.name;
    plug.bridge = find_bridge(caller, links, arguments.bridge);
    plug.port = {true, arguments.isolated, false};
    plug.guest = arguments.mac;
    plug.mac = arguments.mac;
    plug.mac[0] = 0xfe;
    const auto add = [&](const Address& address) {
        static_cast<void>(plug.elements.push_back(known(plug.name, arguments.mac, address)));
    };
    for (const Address& address : arguments.ips) {
        require_allowed(caller, plug.bridge, address);
        add(address);
    }
    if (!arguments.ips.empty()) {
        add(link_local_of(arguments.mac));
    }
    if (arguments.any_ip) {
        require_any_allowed(caller, plug.bridge);
        static_cast<void>(plug.elements.push_back(unpinned(plug.name, arguments.mac)));
    }
    plug_in(caller, links, sets, plug);
}

void add_trunk(const Caller& caller, Links& links, Sets& sets, const Arguments& arguments) {
    Plug plug;
    plug.name = arguments.name;
    plug.bridge = own_bridge(caller, links, arguments.bridge);
    plug.port = {false, arguments.isolated, arguments.learning};
    if (::getrandom(plug.mac.data(), plug.mac.size(), 0) != static_cast<ssize_t>(plug.mac.size())) {
        die_errno(errno, "no random address can be made");
    }
    plug.mac[0] = 0xfe;
    static_cast<void>(plug.elements.push_back(only_name(Set::trunks, plug.name)));
    plug_in(caller, links, sets, plug);
}

void remove_tap(const Caller& caller, Links& links, Sets& sets, const Name& name) {
    const auto link = find_settled(links, name);
    if (link && (link->kind != Kind::tap || !link->belongs_to(caller.uid))) {
        die(Exit::refused, "%s is there, and no TAP of yours", name.text.data());
    }
    const auto is_old = [&](const Element& element) { return element.interface() == name; };
    static_cast<void>(sets.replace(tap_sets, is_old, {})); // no tables: nothing to remove
    if (link) {
        links.remove(link->index);
    }
}

} // namespace capsul::nethelper
