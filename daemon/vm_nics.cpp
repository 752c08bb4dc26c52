#include "daemon/vm_nics.hpp"

#include "daemon/ipam.hpp"
#include "daemon/network_doctor.hpp"
#include "daemon/network_unit.hpp"
#include "daemon/user_units.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

bool is_user(const Name& network) {
    return network.to_string() == user_network;
}

int free_slot(const VmRecord& vm) {
    for (int slot = 0; slot < most_nics; ++slot) {
        if (std::ranges::find(vm.nics, slot, &Nic::slot) == vm.nics.end()) {
            return slot;
        }
    }
    throw Error(ErrorCode::invalid,
                about(vm.name, fmt::format("has {} NICs, the most there can be", most_nics)));
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

TakenAddresses taken_on(const Name& network, const VmRecord& vm, const OtherVms& others) {
    TakenAddresses taken;
    for_each_nic(vm, others, [&](const VmRecord& owner, const Nic& nic) {
        for (const auto& ip : {nic.ip, nic.ip6}) {
            if (ip && nic.network == network) {
                taken.emplace(*ip, owner.name);
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
        throw Error(ErrorCode::in_use,
                    about(vm, wanted->to_string() + " is its own already, on another NIC"));
    }
    return wanted;
}

void fill_user(const VmRecord& vm, const NicSpec& wanted) {
    if (has_user_nic(vm)) {
        throw Error(ErrorCode::invalid, about(vm.name, "one NIC on `user` is the most there can be"));
    }
    if (wanted.ip || wanted.ip6) {
        throw Error(ErrorCode::invalid, about(vm.name, "QEMU gives out the addresses on `user`"),
                    "leave the address out, or use another network");
    }
}

void fill_tap(Nic& nic, const VmRecord& vm, const NicSpec& wanted, NetworkService& networks,
              const OtherVms& others) {
    const NetworkRecord network = networks.usable(wanted.network);
    const TakenAddresses taken = taken_on(wanted.network, vm, others);
    nic.ip = choose_address(network, wanted.ip, false, vm.name, taken);
    nic.ip6 = choose_address(network, wanted.ip6, true, vm.name, taken);
    std::set<std::string> interfaces = networks.occupied().interfaces;
    for_each_nic(vm, others, [&](const VmRecord&, const Nic& other) {
        if (other.tap) {
            interfaces.insert(other.tap->to_string());
        }
    });
    nic.tap = interface_name(read_net_grants(networks.helper()).prefix,
                             fmt::format("{}-{}", vm.name.to_string(), nic.slot), interfaces);
}

/// What goes into a TAP comes out of the guest's NIC.
LinkCounters turned_round(const LinkCounters& host) {
    return {host.tx_bytes, host.tx_packets, host.tx_dropped, host.rx_bytes, host.rx_packets, host.rx_dropped};
}

/// With the packet filter a TAP whose addresses are known sends from those or not at all.
std::vector<std::string> protections_of(const Nic& nic, const Link& link) {
    std::vector<std::string> words;
    if (link.locked) {
        words.emplace_back("mac");
    }
    if ((nic.ip || nic.ip6) && has_packet_filter()) {
        words.emplace_back("ip");
    }
    if (link.isolated) {
        words.emplace_back("isolated");
    }
    return words;
}

} // namespace

void add_nic(VmRecord& vm, const NicSpec& wanted, NetworkService& networks, const OtherVms& others) {
    Nic nic;
    nic.slot = free_slot(vm);
    nic.network = wanted.network;
    nic.mac = wanted.mac.value_or(choose_mac(vm, nic.slot, others));
    if (const auto holder = holder_of(nic.mac, vm, others)) {
        throw Error(ErrorCode::in_use, about(vm.name, fmt::format("{} belongs to the VM {}",
                                                                  nic.mac.to_string(), holder->to_string())));
    }
    if (is_user(wanted.network)) {
        fill_user(vm, wanted);
    } else {
        fill_tap(nic, vm, wanted, networks, others);
    }
    vm.nics.push_back(nic);
    std::ranges::sort(vm.nics, {}, &Nic::slot);
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

std::vector<NicStatus> nic_statuses(const VmRecord& vm) {
    std::vector<NicStatus> statuses;
    if (!has_taps(vm)) {
        return statuses;
    }
    const std::vector<Link> links = all_links();
    for (const Nic& nic : vm.nics) {
        const auto link = std::ranges::find_if(
            links, [&](const Link& each) { return nic.tap && each.name == nic.tap->to_string(); });
        if (link != links.end()) {
            statuses.push_back({nic.slot, turned_round(link->counters), protections_of(nic, *link)});
        }
    }
    return statuses;
}

void write_tap_files(const VmHost& host, const VmRecord& vm, const std::vector<InterfaceName>& gone) {
    const std::string unit = tap_unit_name(vm.name);
    const fs::path folder = host.paths.vm(vm.name);
    std::vector<TapPlan> taps;
    for (const Nic& nic : vm.nics) {
        if (nic.tap) {
            taps.push_back(host.networks.tap_plan(nic));
        }
    }
    if (taps.empty() && gone.empty()) {
        if (fs::exists(host.units().file(unit))) { // to remove what is not there would still cost an fsync
            host.units().remove(unit);
        }
        return;
    }
    refresh_file(folder / "net-setup.sh", tap_setup(vm.name, taps, gone, host.networks.helper()), 0700);
    refresh_file(folder / "net-teardown.sh", tap_teardown(vm.name, taps, host.networks.helper()), 0700);
    if (host.units().write(unit, tap_unit(vm.name, networks_of(vm), folder)) == Written::changed) {
        host.systemd.reload();
    }
}

} // namespace capsul
