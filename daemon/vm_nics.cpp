#include "daemon/vm_nics.hpp"

#include "daemon/host_dns.hpp"
#include "daemon/ipam.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_plan.hpp"
#include "daemon/network_script.hpp"
#include "daemon/network_unit.hpp"
#include "daemon/script_unit.hpp"
#include "daemon/user_units.hpp"
#include "daemon/vpn_names.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

int free_slot(const VmRecord& vm) {
    for (int slot = 0; slot < most_nics; ++slot) {
        if (std::ranges::find(vm.nics, slot, &Nic::slot) == vm.nics.end()) {
            return slot;
        }
    }
    throw Error(ErrorCode::invalid,
                about(vm.name, fmt::format("has {} NICs, the most there can be", most_nics)),
                "take one away with `capsulctl vm nic rm`, or ask for fewer");
}

/// Calls `visit(vm, nic)` for each NIC of each VM.
template <class Visit>
void for_each_nic(const VmRecord& vm, const OtherVms& others, Visit visit) {
    for (const Nic& nic : vm.nics) {
        visit(vm, nic);
    }
    for (const auto& other : others) {
        for (const Nic& nic : other->nics) {
            visit(*other, nic);
        }
    }
}

std::optional<Name> holder_of(const Mac& mac, const VmRecord& vm, const OtherVms& others) {
    std::optional<Name> holder;
    for_each_nic(vm, others, [&](const VmRecord& owner, const Nic& nic) {
        if (nic.mac == mac) {
            holder = owner.name;
        }
    });
    return holder;
}

Mac choose_mac(const VmRecord& vm, int slot, const OtherVms& others) {
    auto index = static_cast<unsigned>(slot);
    while (true) {
        const Mac mac = Mac::derive(vm.uuid, index);
        if (!holder_of(mac, vm, others)) {
            return mac;
        }
        index += most_nics;
    }
}

/// On its wire, which other networks may be on too.
TakenAddresses taken_on(const NetworkRecord& network, const NetworkService& networks, const VmRecord& vm,
                        const OtherVms& others) {
    TakenAddresses taken = networks.taken_addresses(network);
    const std::set<Name> on_bridge = networks.on_bridge(network.bridge);
    for_each_nic(vm, others, [&](const VmRecord& owner, const Nic& nic) {
        for (const auto& ip : {nic.ip, nic.ip6}) {
            if (ip && on_bridge.contains(nic.network)) {
                taken.emplace(*ip, Holder(owner.name));
            }
        }
    });
    return taken;
}

std::optional<IpAddress> choose_address(const NetworkRecord& network, const std::optional<IpAddress>& wanted,
                                        bool ipv6, const Name& vm, const TakenAddresses& taken) {
    if (!wanted) {
        return pick_address(network, ipv6, vm, taken);
    }
    if (wanted->is_ipv6() != ipv6) {
        throw Error(ErrorCode::invalid, fmt::format("{}: {} is not IPv{}", ipv6 ? "ip6" : "ip",
                                                    wanted->to_string(), ipv6 ? 6 : 4));
    }
    check_address(network, *wanted, vm, taken);
    if (taken.contains(*wanted)) {
        throw Error(ErrorCode::in_use, about(vm, wanted->to_string() + " is its own already, on another NIC"),
                    "leave ip= out: capsul chooses another");
    }
    return wanted;
}

void fill_user(const VmRecord& vm, const NicSpec& wanted) {
    if (has_user_nic(vm)) {
        throw Error(ErrorCode::invalid, about(vm.name, "one NIC on `user` is the most there can be"),
                    "plug the others into networks made with `capsulctl network create`");
    }
    if (wanted.ip || wanted.ip6) {
        throw Error(ErrorCode::invalid, about(vm.name, "QEMU gives out the addresses on `user`"),
                    "leave the address out, or use another network");
    }
}

/// What new TAPs may be, and the names that are taken. Costs a program's run: once for all NICs of a VM.
struct TapNames {
    NetGrants grants;
    std::set<std::string> taken;
};

TapNames tap_names(const VmRecord& vm, NetworkService& networks, const OtherVms& others) {
    TapNames names{read_net_grants(networks.helper()), networks.taken_interfaces()};
    for_each_nic(vm, others, [&](const VmRecord&, const Nic& nic) {
        if (nic.tap) {
            names.taken.insert(nic.tap->to_string());
        }
    });
    return names;
}

/// On a vpn it follows from the MAC: so no two hosts give out the same.
std::optional<IpAddress> choose_eui64(const NetworkRecord& network, const NicSpec& wanted, const Nic& nic) {
    if (!network.subnet6) {
        if (wanted.ip6) {
            throw Error(ErrorCode::invalid, about_network(network.name, "has no IPv6 subnet"));
        }
        return std::nullopt;
    }
    const IpAddress ip6 = eui64_address(*network.subnet6, nic.mac);
    if (wanted.ip6 && *wanted.ip6 != ip6) {
        throw Error(ErrorCode::invalid,
                    about_network(network.name,
                                  fmt::format("{} follows from no MAC of this VM's; with {} it has {}",
                                              wanted.ip6->to_string(), nic.mac.to_string(), ip6.to_string())),
                    "leave the IPv6 address out, or choose it with mac=");
    }
    return ip6;
}

void fill_tap(Nic& nic, const VmRecord& vm, const NicSpec& wanted, const NetworkRecord& network,
              const TakenAddresses& taken, TapNames& names) {
    nic.ip = choose_address(network, wanted.ip, false, vm.name, taken);
    nic.ip6 = network.vpn ? choose_eui64(network, wanted, nic)
                          : choose_address(network, wanted.ip6, true, vm.name, taken);
    nic.mtu = network.vpn ? std::optional(network.vpn->mtu) : std::nullopt;
    for (const auto& ip : {nic.ip, nic.ip6}) {
        if (ip && network.type == NetworkType::bridge) {
            require_allowed(network, names.grants, *ip);
        }
    }
    nic.tap =
        interface_name(names.grants.prefix, fmt::format("{}-{}", vm.name.to_string(), nic.slot), names.taken);
    names.taken.insert(nic.tap->to_string());
}

/// A NIC in a slot, with its MAC.
Nic bare_nic(const VmRecord& vm, const NicSpec& wanted, const OtherVms& others) {
    Nic nic;
    nic.slot = free_slot(vm);
    nic.network = wanted.network;
    nic.mac = wanted.mac.value_or(choose_mac(vm, nic.slot, others));
    if (const auto holder = holder_of(nic.mac, vm, others)) {
        throw Error(
            ErrorCode::in_use,
            about(vm.name, fmt::format("{} belongs to the VM {}", nic.mac.to_string(), holder->to_string())),
            "leave mac= out: capsul makes one up that nobody has");
    }
    return nic;
}

TapPlan tap_plan(const NetworkRecord& network, const Nic& nic) {
    TapPlan plan{*nic.tap, network.bridge, nic.mac, {}, false, network.isolate};
    for (const auto& ip : {nic.ip, nic.ip6}) {
        if (ip) {
            plan.addresses.push_back(*ip);
        }
    }
    plan.any_address = plan.addresses.empty();
    return plan;
}

/// The first NIC that has a way out is the way out: the last one keeps no gateway of a family that an earlier
/// one has.
void keep_one_default_route(std::vector<SeedNic>& nics) {
    std::erase_if(nics.back().gateways, [&](const IpAddress& gateway) {
        return std::any_of(nics.begin(), nics.end() - 1, [&](const SeedNic& earlier) {
            return std::ranges::any_of(earlier.gateways, [&](const IpAddress& other) {
                return other.is_ipv6() == gateway.is_ipv6();
            });
        });
    });
}

/// On `user` and where capsul gives out no address: by DHCP.
SeedNic seed_nic(NetworkService& networks, const Nic& nic) {
    SeedNic seed{nic.mac, {}, {}, {}};
    if (!nic.ip && !nic.ip6) {
        return seed;
    }
    const NetworkRecord network = networks.usable(nic.network);
    if (nic.ip) {
        seed.addresses.push_back(fmt::format("{}/{}", nic.ip->to_string(), network.subnet->length()));
    }
    if (nic.ip6) {
        seed.addresses.push_back(fmt::format("{}/{}", nic.ip6->to_string(), network.subnet6->length()));
    }
    for (const auto& gateway : {network.gateway, network.gateway6}) {
        if (gateway) {
            seed.gateways.push_back(*gateway);
        }
    }
    if (network.vpn) {
        seed.dns = {vpn_resolver_ip(network.vpn->slice)};
        seed.search = {vpn_domain(network.name)};
        seed.mtu = network.vpn->mtu;
    } else {
        seed.dns = guest_dns(network);
    }
    return seed;
}

/// What goes into a TAP comes out of the guest's NIC.
LinkCounters turned_round(const LinkCounters& host) {
    return {host.tx_bytes, host.tx_packets, host.tx_dropped, host.rx_bytes, host.rx_packets, host.rx_dropped};
}

/// With the packet filter a TAP whose addresses are known sends from those or not at all. Nothing where there
/// is no such protection.
const char* address_protection(const Nic& nic, const std::string& ips) {
    if (ips == "-") {
        return "cut-off";
    }
    if ((!nic.ip && !nic.ip6) || ips == "off" || ips == "any") {
        return nullptr;
    }
    return ips == "?" ? "ip?" : "ip";
}

std::vector<std::string> protections_of(const Nic& nic, const Link& link,
                                        const std::optional<FilterFacts>& filter) {
    std::vector<std::string> words;
    if (link.locked) {
        words.emplace_back("mac");
    }
    if (const char* word = address_protection(nic, filter ? filter->ips_of(link.name) : "?")) {
        words.emplace_back(word);
    }
    if (link.isolated) {
        words.emplace_back("isolated");
    }
    return words;
}

std::vector<Name> vpns_of(const VmRecord& vm, const NetworkService& networks) {
    std::vector<Name> names = networks_of(vm);
    std::erase_if(names, [&](const Name& name) { return !networks.usable(name).vpn; });
    return names;
}

/// Whether one of these TAPs, or of its record's, is left on the host; of one without a record nobody knows.
bool is_any_left(const VmHost& host, const Name& name, std::vector<InterfaceName> taps) {
    const auto vm = host.store.vms.find(name);
    if (!vm || !vm->record) {
        return true;
    }
    for (const Nic& nic : vm->record->nics) {
        if (nic.tap) {
            taps.push_back(*nic.tap);
        }
    }
    return std::ranges::any_of(
        taps, [](const InterfaceName& tap) { return find_link(tap.to_string()).has_value(); });
}

} // namespace

void add_nics(VmRecord& vm, const std::vector<NicSpec>& wanted, NetworkService& networks,
              const OtherVms& others) {
    std::optional<TapNames> names;
    for (const NicSpec& spec : wanted) {
        Nic nic = bare_nic(vm, spec, others);
        if (is_user_network(spec.network)) {
            fill_user(vm, spec);
        } else {
            const NetworkRecord network = networks.usable(spec.network);
            if (!names) {
                names = tap_names(vm, networks, others);
            }
            fill_tap(nic, vm, spec, network, taken_on(network, networks, vm, others), *names);
        }
        vm.nics.push_back(nic);
        std::ranges::sort(vm.nics, {}, &Nic::slot);
    }
}

std::optional<Endpoint> ssh_endpoint(const VmRecord& vm) {
    if (vm.ssh_port != 0) {
        return Endpoint{"127.0.0.1", vm.ssh_port};
    }
    for (const Nic& nic : vm.nics) {
        if (nic.ip || nic.ip6) {
            return Endpoint{(nic.ip ? *nic.ip : *nic.ip6).to_string(), 22};
        }
    }
    return std::nullopt;
}

std::vector<NicStatus> nic_statuses(const VmRecord& vm, const std::optional<FilterFacts>& filter) {
    std::vector<NicStatus> statuses;
    const std::vector<Link> links = all_links();
    for (const Nic& nic : vm.nics) {
        const auto link = std::ranges::find_if(
            links, [&](const Link& each) { return nic.tap && each.name == nic.tap->to_string(); });
        if (link != links.end()) {
            statuses.push_back({nic.slot, turned_round(link->counters), protections_of(nic, *link, filter)});
        }
    }
    return statuses;
}

std::vector<SeedNic> seed_nics(const VmRecord& vm, NetworkService& networks) {
    std::vector<SeedNic> nics;
    for (const Nic& nic : vm.nics) {
        nics.push_back(seed_nic(networks, nic));
        keep_one_default_route(nics);
    }
    return nics;
}

void write_tap_files(const VmHost& host, const VmRecord& vm, const std::vector<InterfaceName>& gone) {
    const std::string unit = tap_unit_name(vm.name);
    const fs::path folder = host.paths.vm(vm.name);
    std::vector<TapPlan> taps;
    for (const Nic& nic : vm.nics) {
        if (nic.tap) {
            taps.push_back(tap_plan(host.networks.usable(nic.network), nic));
        }
    }
    if (taps.empty() && gone.empty()) {
        host.units().remove(unit);
        return;
    }
    refresh_file(folder / "net-setup.sh", tap_setup(vm.name, taps, gone, host.networks.helper()), 0700);
    refresh_file(folder / "net-teardown.sh", tap_teardown(vm.name, taps, gone, host.networks.helper()), 0700);
    const std::string text = tap_unit(vm.name, networks_of(vm), vpns_of(vm, host.networks), folder);
    if (host.units().write(unit, text) == Written::changed) {
        host.systemd.reload();
    }
}

void take_down_taps(const VmHost& host, const Name& name, const std::vector<InterfaceName>& gone) {
    const std::string unit = tap_unit_name(name);
    if (!fs::exists(fs::symlink_status(host.units().file(unit)))) {
        return; // most have none: without asking systemd
    }
    try {
        take_down_scripts(host.systemd, unit, about(name, "its interfaces cannot be taken away"));
    } catch (const Error&) {
        if (is_any_left(host, name, gone)) {
            throw;
        }
        host.systemd.reset_failed(unit); // the administrator has, and maybe the right to do so
    }
}

} // namespace capsul
