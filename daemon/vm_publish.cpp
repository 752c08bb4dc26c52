#include "daemon/vm_publish.hpp"

#include "daemon/publish_unit.hpp"
#include "daemon/vm_ports.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 30s;

/// Where a relay leads to: the first address on a nat network, IPv4 before IPv6.
std::optional<IpAddress> relay_target(const VmRecord& vm, NetworkService& networks) {
    for (const Nic& nic : vm.nics) {
        if (nic.tap && networks.usable(nic.network).type == NetworkType::nat && (nic.ip || nic.ip6)) {
            return nic.ip ? nic.ip : nic.ip6;
        }
    }
    return std::nullopt;
}

} // namespace

void check_publish(const VmRecord& vm, NetworkService& networks) {
    if (has_user_nic(vm)) {
        const auto ipv6 = std::ranges::find_if(vm.publish, &PublishedPort::is_ipv6);
        if (ipv6 != vm.publish.end()) {
            throw Error(
                ErrorCode::invalid,
                fmt::format("publish: {}: QEMU's user network has IPv4 addresses only", ipv6->to_string()));
        }
    } else if (is_relayed(vm) && !relay_target(vm, networks)) {
        throw Error(ErrorCode::invalid,
                    about(vm.name, "its published ports need a NIC on `user` or on a nat network"),
                    "on a bridge network the VM is reached at its own address, and publishes nothing");
    }
}

void write_publish_files(const VmHost& host, const VmRecord& vm) {
    if (!is_relayed(vm)) {
        host.units().remove(publish_socket_name(vm.name));
        host.units().remove(publish_service_name(vm.name));
        return;
    }
    check_publish(vm, host.networks);
    const IpAddress guest = *relay_target(vm, host.networks);
    const std::string service = publish_service_name(vm.name);
    const Written socket_written =
        host.units().write(publish_socket_name(vm.name), publish_socket_unit(vm.name, vm.publish));
    const Written service_written =
        host.units().write(service, publish_service_unit(vm.name, vm.publish, guest, host.programs));
    if (socket_written == Written::changed || service_written == Written::changed) {
        host.systemd.reload();
    }
    if (service_written == Written::changed) {
        host.units().take_down(host.systemd, service, patience);
    }
}

std::optional<std::string> publish_problem(const VmHost& host, const VmRecord& vm) {
    if (!is_relayed(vm)) {
        return std::nullopt;
    }
    const std::string unit = publish_socket_name(vm.name);
    const std::string state = host.systemd.status(unit).active_state;
    if (state == "active") {
        return std::nullopt;
    }
    return fmt::format("{0} is {1}; `systemctl --user status {0}` tells more", unit, state);
}

void open_published(const VmHost& host, const VmRecord& vm) {
    if (!publish_problem(host, vm)) {
        return;
    }
    check_ports_free(vm.name, vm.publish); // tells best
    const std::string unit = publish_socket_name(vm.name);
    if (host.systemd.start(unit, patience) != JobResult::done) {
        throw Error(ErrorCode::internal, about(vm.name, "its ports cannot be opened"),
                    "`systemctl --user status " + unit + "` tells why");
    }
}

void close_published(const VmHost& host, const Name& name) {
    for (const std::string& unit : {publish_socket_name(name), publish_service_name(name)}) {
        host.units().take_down(host.systemd, unit, patience);
    }
}

} // namespace capsul
