// Which addresses of a network are free, and which a VM gets. Pure.
#pragma once

#include "lib/network.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>

namespace capsul {

/// Whose an address is.
struct Holder {
    explicit Holder(const Name& name) : vm(name), words("belongs to the VM " + name.to_string()) {}
    explicit Holder(std::string text) : words(std::move(text)) {}
    std::optional<Name> vm; ///< nothing: no VM's
    std::string words;      ///< what is said of the address, such as "is this host's own"
};

/// Addresses that are not free.
using TakenAddresses = std::map<IpAddress, Holder>;

/// The address that `vm` gets: one kept for it, else the first that is free in the network's range. Nothing
/// when the network has no subnet of that family. Throws Error (in_use) when none is free.
[[nodiscard]] std::optional<IpAddress> pick_address(const NetworkRecord& network, bool ipv6, const Name& vm,
                                                    const TakenAddresses& taken);

/// Refuses an address that `vm` may not have: invalid (outside the subnet, its first or last, the gateway),
/// in_use (somebody else's, or kept for another VM).
void check_address(const NetworkRecord& network, const IpAddress& ip, const Name& vm,
                   const TakenAddresses& taken);

/// Refuses subnets, gateways and ranges that do not go together (invalid).
void check_addressing(const NetworkRecord& network);

} // namespace capsul
