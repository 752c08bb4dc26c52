#include "daemon/vm_ports.hpp"

#include "daemon/port.hpp"
#include "daemon/vm_host.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <system_error>

namespace capsul {
namespace {

/// Each is some forty bytes of one word of a command line, QEMU's or the relay's.
constexpr std::size_t most_ports = 256;

Error bind_failure(const Name& name, const PublishedPort& port, int number) {
    const std::string where = fmt::format("port {} of {}", port.host_port(), port.address());
    switch (number) {
    case EADDRINUSE:
        return {ErrorCode::in_use, about(name, where + " is taken by another program"),
                fmt::format("`ss -{}lnp 'sport = :{}'` shows which; choose another with --publish",
                            port.is_udp() ? 'u' : 't', port.host_port())};
    case EACCES:
        return {ErrorCode::denied, about(name, where + " may be opened by root only"),
                fmt::format("choose a higher one, or `sudo sysctl -w net.ipv4.ip_unprivileged_port_start={}`",
                            port.host_port())};
    case EADDRNOTAVAIL:
        return {ErrorCode::invalid, about(name, fmt::format("{} is no address of this host", port.address())),
                "`ip address` shows those there are; 0.0.0.0 is all of them"};
    default:
        return {ErrorCode::internal,
                about(name, fmt::format("{}: {}", where, std::generic_category().message(number)))};
    }
}

} // namespace

void check_publish(const std::vector<PublishedPort>& ports) {
    if (ports.size() > most_ports) {
        throw Error(ErrorCode::invalid,
                    fmt::format("publish: {} ports are more than the {} that a VM can have", ports.size(),
                                most_ports));
    }
    for (auto port = ports.begin(); port != ports.end(); ++port) {
        if (std::any_of(ports.begin(), port,
                        [&](const PublishedPort& other) { return other.clashes_with(*port); })) {
            throw Error(ErrorCode::invalid, fmt::format("publish: {} stands twice", port->to_string()));
        }
    }
}

void check_ports_free(const Name& name, const std::vector<PublishedPort>& ports) {
    for (const PublishedPort& port : ports) {
        if (const int number = try_bind(port); number != 0) {
            throw bind_failure(name, port, number);
        }
    }
}

std::vector<PublishedPort> all_ports(const VmRecord& vm) {
    std::vector<PublishedPort> ports = vm.publish;
    if (vm.ssh_port != 0) {
        ports.push_back(PublishedPort::tcp("127.0.0.1", vm.ssh_port, 22));
    }
    return ports;
}

} // namespace capsul
