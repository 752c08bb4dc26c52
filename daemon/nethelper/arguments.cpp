#include "daemon/nethelper/arguments.hpp"

#include <algorithm>

namespace capsul::nethelper {
namespace {

constexpr const char* usage =
    "usage: capsul-net tap-add NAME BRIDGE MAC [--isolated] [--ip ADDRESS]... [--any-ip] | "
    "trunk-add NAME BRIDGE [--no-learning] [--isolated] | tap-del NAME | "
    "bridge-add NAME | bridge-del NAME | addr-add BRIDGE ADDRESS/LENGTH | "
    "egress BRIDGE [--isolated] none|full|dns-icmp|list [ITEM]... | list | check-policy [FILE]";

using Words = std::span<const char* const>;
using Positionals = Bounded<std::string_view, 132>;
using Parse = const char* (*)(Positionals& words, Arguments& result);

const char* set_name(std::string_view text, Name& result) {
    const auto name = parse_own_name(text);
    result = name.value_or(Name{});
    return name ? nullptr : "an interface's name has 1 to 15 of a-z, 0-9 and -, and begins with a letter";
}

const char* set_bridge(std::string_view text, Name& result) {
    const auto name = parse_any_name(text);
    result = name.value_or(Name{});
    return name ? nullptr : "that cannot be the name of a bridge";
}

const char* parse_tap_add(Positionals& words, Arguments& result) {
    if (const char* problem = set_name(words[0], result.name)) {
        return problem;
    }
    if (const char* problem = set_bridge(words[1], result.bridge)) {
        return problem;
    }
    const auto mac = parse_guest_mac(words[2]);
    result.mac = mac.value_or(Mac{});
    return mac ? nullptr
               : "MAC must be unicast and locally administered, such as 02:00:00:00:00:01, and not fe:...";
}

const char* parse_trunk_add(Positionals& words, Arguments& result) {
    const char* problem = set_name(words[0], result.name);
    return problem != nullptr ? problem : set_bridge(words[1], result.bridge);
}

const char* parse_name(Positionals& words, Arguments& result) {
    return set_name(words[0], result.name);
}

/// A host's address: neither that of the network nor its broadcast address.
const char* parse_addr_add(Positionals& words, Arguments& result) {
    const auto address = parse_cidr(words[1]);
    if (!address) {
        return "the address must be given as ADDRESS/LENGTH, such as 10.80.0.1/24";
    }
    const bool has_ends = address->length + 1U < address->address.bits();
    if (has_ends && (address->address == address->first() ||
                     (address->address.family == AF_INET && address->address == address->last()))) {
        return "that is the address of the network or its broadcast address, not a host's";
    }
    result.address = *address;
    return set_name(words[0], result.name);
}

const char* set_ports(Item& item, std::string_view text) {
    const auto first = parse_number(take_field(text, '-'), 65535);
    const auto last = text.empty() ? first : parse_number(text, 65535);
    if (!first || !last || *first == 0 || *last < *first) {
        return "a port is 1 to 65535, a range FIRST-LAST";
    }
    item.port_first = static_cast<std::uint16_t>(*first);
    item.port_last = static_cast<std::uint16_t>(*last);
    return nullptr;
}

const char* set_protocol(Item& item, std::string_view text) {
    if (text != "tcp" && text != "udp") {
        return "the protocol of an ITEM is tcp or udp";
    }
    item.protocol_first = item.protocol_last = text == "tcp" ? IPPROTO_TCP : IPPROTO_UDP;
    return nullptr;
}

const char* parse_item(Item& item, std::string_view text) {
    if (std::count(text.begin(), text.end(), ',') > 2 || text.ends_with(',') || text.ends_with('-')) {
        return "an ITEM is CIDR[,tcp|udp[,PORT[-PORT]]]";
    }
    const auto network = parse_cidr(take_field(text, ','));
    if (!network || network->first() != network->address) {
        return "an ITEM begins with a network such as 192.0.2.0/24, without bits of a host";
    }
    item.network = *network;
    if (text.empty()) {
        return nullptr;
    }
    if (const char* problem = set_protocol(item, take_field(text, ','))) {
        return problem;
    }
    return text.empty() ? nullptr : set_ports(item, text);
}

const char* add_item(Arguments& result, std::string_view text) {
    Item item;
    if (const char* problem = parse_item(item, text)) {
        return problem;
    }
    return result.items.push_back(item) ? nullptr : "there are more than 128 ITEMs";
}

/// The kernel refuses a range one of whose corners is inside another that it has.
void sort_out(Bounded<Item, 128>& items) {
    std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) {
        const auto width = [](const Item& i) {
            return (i.protocol_last - i.protocol_first) * 65536 + (i.port_last - i.port_first);
        };
        return width(a) < width(b);
    });
    Bounded<Item, 128> kept;
    for (const Item& item : items) {
        const auto covers = [&](const Item& other) { return other.contains(item); };
        const bool wider_follows = std::any_of(&item + 1, static_cast<const Item*>(items.end()), covers);
        if (!wider_follows && std::none_of(kept.begin(), kept.end(), covers)) {
            static_cast<void>(kept.push_back(item));
        }
    }
    items = kept;
}

struct EgressWord {
    std::string_view word;
    Egress egress;
};

constexpr std::array<EgressWord, 4> egress_words{
    {{"none", Egress::none}, {"full", Egress::full}, {"dns-icmp", Egress::dns_icmp}, {"list", Egress::list}}};

const char* parse_egress(Positionals& words, Arguments& result) {
    const auto* known = std::find_if(egress_words.begin(), egress_words.end(),
                                     [&](const EgressWord& one) { return one.word == words[1]; });
    if (known == egress_words.end() || (known->egress != Egress::list && words.size() > 2)) {
        return "egress is none, full, dns-icmp, or list and ITEMs";
    }
    result.egress = known->egress;
    for (std::size_t i = 2; i < words.size(); ++i) {
        if (const char* problem = add_item(result, words[i])) {
            return problem;
        }
    }
    sort_out(result.items);
    return set_name(words[0], result.name);
}

const char* parse_list(Positionals& /*words*/, Arguments& /*result*/) {
    return nullptr;
}

const char* parse_check_policy(Positionals& words, Arguments& result) {
    result.file = words.empty() ? nullptr : words[0].data();
    return result.file != nullptr && words[0].empty() ? "FILE is empty" : nullptr;
}

struct Verb {
    std::string_view word;
    Operation operation;
    std::size_t least;
    std::size_t most;
    bool takes_isolated;
    bool takes_ip;
    Parse parse;
};

constexpr std::array<Verb, 9> verbs{{
    {"tap-add", Operation::tap_add, 3, 3, true, true, parse_tap_add},
    {"trunk-add", Operation::trunk_add, 2, 2, true, false, parse_trunk_add},
    {"tap-del", Operation::tap_del, 1, 1, false, false, parse_name},
    {"bridge-add", Operation::bridge_add, 1, 1, false, false, parse_name},
    {"bridge-del", Operation::bridge_del, 1, 1, false, false, parse_name},
    {"addr-add", Operation::addr_add, 2, 2, false, false, parse_addr_add},
    {"egress", Operation::egress, 2, 130, true, false, parse_egress},
    {"list", Operation::list, 0, 0, false, false, parse_list},
    {"check-policy", Operation::check_policy, 0, 1, false, false, parse_check_policy},
}};

const char* add_ip(Arguments& result, std::string_view text) {
    const auto address = parse_address(text);
    if (!address) {
        return "--ip takes an IPv4 or IPv6 address";
    }
    return result.ips.push_back(*address) ? nullptr : "--ip is given more than 32 times";
}

/// Options may stand anywhere after the verb; what is left are the positionals.
const char* take_options(const Verb& verb, Words words, Positionals& positionals, Arguments& result) {
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view word = words[i];
        if (verb.takes_isolated && word == "--isolated") {
            result.isolated = true;
        } else if (verb.operation == Operation::trunk_add && word == "--no-learning") {
            result.learning = false;
        } else if (verb.takes_ip && word == "--any-ip") {
            result.any_ip = true;
        } else if (verb.takes_ip && word == "--ip") {
            if (const char* problem = add_ip(result, ++i < words.size() ? words[i] : "")) {
                return problem;
            }
        } else if (word.starts_with('-') || !positionals.push_back(word)) {
            return usage;
        }
    }
    return nullptr;
}

} // namespace

bool Item::contains(const Item& other) const {
    return network.contains(other.network) && protocol_first <= other.protocol_first &&
           other.protocol_last <= protocol_last && port_first <= other.port_first &&
           other.port_last <= port_last;
}

const char* parse_arguments(std::span<const char* const> words, Arguments& result) {
    const auto* verb = std::find_if(verbs.begin(), verbs.end(), [&](const Verb& known) {
        return !words.empty() && known.word == words.front();
    });
    if (verb == verbs.end()) {
        return usage;
    }
    result = {};
    result.operation = verb->operation;
    Positionals positionals;
    if (const char* problem = take_options(*verb, words.subspan(1), positionals, result)) {
        return problem;
    }
    const bool right_number = positionals.size() >= verb->least && positionals.size() <= verb->most;
    return right_number ? verb->parse(positionals, result) : usage;
}

} // namespace capsul::nethelper
