#include "daemon/ipam.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

const std::optional<Cidr>& subnet_of(const NetworkRecord& network, bool ipv6) {
    return ipv6 ? network.subnet6 : network.subnet;
}

const std::optional<IpAddress>& gateway_of(const NetworkRecord& network, bool ipv6) {
    return ipv6 ? network.gateway6 : network.gateway;
}

IpRange range_of(const NetworkRecord& network, bool ipv6) {
    const auto& range = ipv6 ? network.range6 : network.range;
    return range ? *range : IpRange::hosts_of(*subnet_of(network, ipv6));
}

/// The VM that an address is kept for.
std::optional<Name> kept_for(const NetworkRecord& network, const IpAddress& ip) {
    const auto found = std::ranges::find(network.reservations, ip, &Reservation::ip);
    return found == network.reservations.end() ? std::nullopt : std::optional(found->vm);
}

/// What to do about an address that a VM cannot have.
std::string choose_another(const NetworkRecord& network, bool ipv6) {
    const std::string name = network.name.to_string();
    if (!subnet_of(network, ipv6)) {
        return "`capsulctl network show " + name + "` shows its subnets";
    }
    return fmt::format("choose another of {}; `capsulctl network leases {}` shows those that VMs have",
                       range_of(network, ipv6).to_string(), name);
}

void check_family(const NetworkRecord& network, bool ipv6) {
    const auto& subnet = subnet_of(network, ipv6);
    const auto& gateway = gateway_of(network, ipv6);
    const auto& range = ipv6 ? network.range6 : network.range;
    const char* const suffix = ipv6 ? "6" : "";
    const auto refuse = [&](const char* field, const std::string& why) {
        throw Error(ErrorCode::invalid, fmt::format("{}{}: {}", field, suffix, why));
    };
    if (!subnet) {
        if (gateway || range) {
            refuse(gateway ? "gateway" : "range", fmt::format("needs a subnet{}", suffix));
        }
        return;
    }
    if (subnet->is_ipv6() != ipv6) {
        refuse("subnet", subnet->to_string() + (ipv6 ? " is not IPv6" : " is not IPv4"));
    }
    if (IpRange::hosts_of(*subnet).first() == IpRange::hosts_of(*subnet).last()) {
        refuse("subnet", subnet->to_string() + " has no room for a gateway and a VM");
    }
    if (gateway && !subnet->is_host(*gateway)) {
        refuse("gateway", fmt::format("{} is not an address of a host in {}", gateway->to_string(),
                                      subnet->to_string()));
    }
    if (range && !(subnet->is_host(range->first()) && subnet->is_host(range->last()))) {
        refuse("range", fmt::format("{} is not inside {} (without its first and last address)",
                                    range->to_string(), subnet->to_string()));
    }
}

} // namespace

std::optional<IpAddress> pick_address(const NetworkRecord& network, bool ipv6, const Name& vm,
                                      const TakenAddresses& taken) {
    if (!subnet_of(network, ipv6)) {
        return std::nullopt;
    }
    for (const Reservation& reservation : network.reservations) {
        if (reservation.vm == vm && reservation.ip.is_ipv6() == ipv6 && !taken.contains(reservation.ip)) {
            return reservation.ip;
        }
    }
    const IpRange range = range_of(network, ipv6);
    for (IpAddress ip = range.first(); range.contains(ip); ip = ip.plus(1)) {
        if (ip != gateway_of(network, ipv6) && !taken.contains(ip) && !kept_for(network, ip)) {
            return ip;
        }
        if (ip == range.last()) {
            break; // the next one may be the first of the address space
        }
    }
    throw Error(ErrorCode::in_use,
                about_network(network.name, fmt::format("no address of {} is free", range.to_string())),
                "`capsulctl network leases " + network.name.to_string() + "` shows who has them");
}

void check_address(const NetworkRecord& network, const IpAddress& ip, const Name& vm,
                   const TakenAddresses& taken) {
    const bool ipv6 = ip.is_ipv6();
    const auto refuse = [&](ErrorCode code, const std::string& why) {
        throw Error(code, about_network(network.name, why), choose_another(network, ipv6));
    };
    const auto& subnet = subnet_of(network, ipv6);
    if (!subnet) {
        refuse(ErrorCode::invalid, fmt::format("has no {} subnet", ipv6 ? "IPv6" : "IPv4"));
    }
    if (!subnet->is_host(ip)) {
        refuse(ErrorCode::invalid,
               fmt::format("{} is not an address of a host in {}", ip.to_string(), subnet->to_string()));
    }
    if (network.vpn && !ipv6 && !network.vpn->slice.contains(ip)) {
        refuse(ErrorCode::invalid, fmt::format("{} is not in this host's slice, {}", ip.to_string(),
                                               network.vpn->slice.to_string()));
    }
    if (ip == gateway_of(network, ipv6)) {
        refuse(ErrorCode::invalid, ip.to_string() + " is its gateway");
    }
    const auto found = taken.find(ip);
    if (found != taken.end() && found->second.vm != vm) {
        refuse(ErrorCode::in_use, ip.to_string() + " " + found->second.words);
    }
    const auto keeper = kept_for(network, ip);
    if (keeper && *keeper != vm) {
        refuse(ErrorCode::in_use,
               fmt::format("{} is kept for the VM {}", ip.to_string(), keeper->to_string()));
    }
}

void check_addressing(const NetworkRecord& network) {
    check_family(network, false);
    check_family(network, true);
}

} // namespace capsul
