#include "daemon/nethelper/report.hpp"

#include "daemon/nethelper/die.hpp"

#include <algorithm>
#include <cerrno>

namespace capsul::nethelper {
namespace {

struct Facts {
    Array<Link> links;
    Array<FdbEntry> macs;
    Array<InterfaceAddress> addresses;
    Array<Element> tap_elements;
    Array<Element> bridge_elements;
    /// Why there are no elements, or nullptr when there may be some.
    const char* unknown = nullptr;
};

const char* yes_or_no(bool value) {
    return value ? "yes" : "no";
}

/// "?" where the caller may not look, "off" where there are no tables.
const char* read_elements(Sets& sets, Facts& facts) {
    int error = EINTR;
    for (unsigned attempt = 0; attempt < 100 && error == EINTR; ++attempt) {
        error = sets.list(tap_sets, facts.tap_elements);
        error = error == 0 ? sets.list(bridge_sets, facts.bridge_elements) : error;
    }
    if (error != 0 && error != ENOENT && error != EPERM) {
        die_errno(error, "the nftables sets cannot be read");
    }
    if (error == 0) {
        return nullptr;
    }
    return error == ENOENT ? "off" : "?";
}

/// Values of a key, with commas between them; "-" when there are none.
class ValueList {
  public:
    void add(const Address& address) { print("%s%s", separator(), to_text(address).data()); }
    void add(const Cidr& cidr) { print("%s%s/%u", separator(), to_text(cidr.address).data(), cidr.length); }
    void end() { print("%s", empty_ ? "-" : ""); }

  private:
    const char* separator() {
        const char* result = empty_ ? "" : ",";
        empty_ = false;
        return result;
    }

    bool empty_ = true;
};

const char* name_of(Facts& facts, int index) {
    const auto* link = std::find_if(facts.links.begin(), facts.links.end(),
                                    [&](const Link& one) { return one.index == index; });
    return link == facts.links.end() ? "-" : link->name.text.data();
}

std::optional<Mac> guest_mac_of(const Facts& facts, int index) {
    const auto* entry = std::find_if(facts.macs.begin(), facts.macs.end(),
                                     [&](const FdbEntry& one) { return one.index == index; });
    return entry == facts.macs.end() ? std::nullopt : std::optional(entry->mac);
}

void print_ips(const Facts& facts, const Name& tap, const Mac& mac) {
    if (facts.unknown != nullptr) {
        print(" ips=%s", facts.unknown);
        return;
    }
    print(" ips=");
    ValueList values;
    for (const Element& element : facts.tap_elements) {
        const bool has_address = element.set == Set::known4 || element.set == Set::known6;
        if (element.set == Set::unpinned && element.interface() == tap) {
            print("any");
        } else if (has_address && element.interface() == tap && element.address() != link_local_of(mac)) {
            values.add(element.address());
        }
    }
    values.end();
}

void print_tap(Facts& facts, const Link& tap) {
    print("%s %s bridge=%s", tap.locked ? "tap" : "trunk", tap.name.text.data(), name_of(facts, tap.master));
    if (const auto mac = guest_mac_of(facts, tap.index)) {
        print(" mac=%02x:%02x:%02x:%02x:%02x:%02x", (*mac)[0], (*mac)[1], (*mac)[2], (*mac)[3], (*mac)[4],
              (*mac)[5]);
        print(" locked=%s isolated=%s", yes_or_no(tap.locked), yes_or_no(tap.isolated));
        print_ips(facts, tap.name, *mac);
    } else if (!tap.locked) {
        print(" isolated=%s learning=%s", yes_or_no(tap.isolated), yes_or_no(tap.learning));
    }
    print("\n");
}

bool has_element(const Facts& facts, const Name& bridge, std::initializer_list<Set> sets) {
    return std::any_of(facts.bridge_elements.begin(), facts.bridge_elements.end(),
                       [&](const Element& element) {
                           return element.interface() == bridge &&
                                  std::find(sets.begin(), sets.end(), element.set) != sets.end();
                       });
}

const char* egress_of(const Facts& facts, const Name& bridge) {
    if (has_element(facts, bridge, {Set::full})) {
        return "full";
    }
    if (has_element(facts, bridge, {Set::dns_icmp})) {
        return "dns-icmp";
    }
    return has_element(facts, bridge, {Set::allow4, Set::allow6}) ? "list" : "none";
}

void print_bridge(const Facts& facts, const Link& bridge) {
    print("bridge %s addresses=", bridge.name.text.data());
    ValueList values;
    for (const InterfaceAddress& one : facts.addresses) {
        if (one.index == bridge.index && !one.link_scope) {
            values.add(one.address);
        }
    }
    values.end();
    if (facts.unknown != nullptr) {
        print(" egress=%s isolated=%s\n", facts.unknown, facts.unknown);
        return;
    }
    print(" egress=%s isolated=%s\n", egress_of(facts, bridge.name),
          yes_or_no(!has_element(facts, bridge.name, {Set::inside})));
}

} // namespace

void print_links(uid_t uid, Links& links, Sets& sets) {
    Facts facts;
    links.list(facts.links);
    links.list_fixed_macs(0, facts.macs);
    links.list_addresses(facts.addresses);
    facts.unknown = read_elements(sets, facts);
    for (const Link& link : facts.links) {
        if (link.belongs_to(uid) && link.kind == Kind::bridge) {
            print_bridge(facts, link);
        }
        if (link.belongs_to(uid) && link.kind == Kind::tap) {
            print_tap(facts, link);
        }
    }
}

} // namespace capsul::nethelper
