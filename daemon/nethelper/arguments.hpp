// The command line, checked: what is in here cannot be wrong, only forbidden.
#pragma once

#include "daemon/nethelper/bounded.hpp"
#include "daemon/nethelper/values.hpp"

#include <span>

namespace capsul::nethelper {

enum class Operation : std::uint8_t {
    tap_add,
    trunk_add,
    tap_del,
    bridge_add,
    bridge_del,
    addr_add,
    egress,
    list,
    check_policy
};

enum class Egress : std::uint8_t { none, full, dns_icmp, list };

/// Where a bridge's guests may go to: "CIDR[,tcp|udp[,PORT[-PORT]]]". A protocol or port that is not named is
/// any.
struct Item {
    Cidr network;
    std::uint8_t protocol_first = 0;
    std::uint8_t protocol_last = 255;
    std::uint16_t port_first = 0;
    std::uint16_t port_last = 65535;

    [[nodiscard]] bool contains(const Item& other) const;
};

struct Arguments {
    Operation operation = Operation::check_policy;
    /// The interface that is made, removed or changed.
    Name name;
    /// tap-add, trunk-add: what it is plugged into.
    Name bridge;
    Mac mac{};
    bool isolated = false;
    /// tap-add: the guest's addresses are not known, since the bridge's network gives them out itself.
    bool any_ip = false;
    /// trunk-add: those behind it have MACs of their own, which the bridge is to find out.
    bool learning = true;
    Bounded<Address, 32> ips;
    Cidr address;
    Egress egress = Egress::none;
    /// None of them is inside another; the narrower ranges of ports come first, the order in which the kernel
    /// takes them.
    Bounded<Item, 128> items;
    /// check-policy: nullptr for the host's own.
    const char* file = nullptr;
};

/// What follows the program's name. Returns what is wrong, one sentence without anything of what was given;
/// nullptr when `result` is good. On whose behalf, and so whether it is allowed, is not looked at.
[[nodiscard]] const char* parse_arguments(std::span<const char* const> words, Arguments& result);

} // namespace capsul::nethelper
