#include "daemon/dnsmasq_config.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/vpn_names.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

constexpr std::string_view common_lines = R"(user=
pid-file=
log-facility=-
port={}
no-resolv
no-hosts
no-poll
interface=guests
except-interface=lo
bind-interfaces
)";

// dhcp-ignore-clid: a guest is known by its MAC, whatever it calls itself. dhcp-authoritative: there is no
// other server for those whom it serves, so who asks for an old address is told at once that it is wrong; and
// since no leases are kept, dnsmasq believes a client of which it knows nothing that it has what it may have.
constexpr std::string_view common_of_dhcp = R"(no-ping
leasefile-ro
dhcp-authoritative
dhcp-ignore-clid
dhcp-lease-max=65536
)";

/// These words have a meaning in a line of a host. (Times have, too; but no VM's name begins with a digit.)
bool is_host_name_to_dnsmasq(const std::string& name) {
    return name != "ignore" && name != "infinite";
}

std::string netmask(const Cidr& subnet) {
    return IpAddress::parse("255.255.255.255").with_rest(subnet.length(), false).to_string();
}

/// "option:dns-server,192.0.2.1,192.0.2.2"; an IPv6 address is in brackets.
std::string dns_line(const std::vector<IpAddress>& dns, bool ipv6) {
    std::string servers;
    for (const IpAddress& server : dns) {
        if (server.is_ipv6() == ipv6) {
            servers += ipv6 ? fmt::format(",[{}]", server.to_string()) : "," + server.to_string();
        }
    }
    return servers.empty()
               ? ""
               : fmt::format("dhcp-option={}:dns-server{}\n", ipv6 ? "option6" : "option", servers);
}

/// For good: an address is a NIC's as long as that exists. And what a client sends to renew it goes to the
/// server's address alone, which is that of the host.
std::string ip4_lines(const NetworkRecord& network, const std::vector<IpAddress>& dns) {
    return fmt::format("\n# IPv4\ndhcp-range={},static,{},infinite\ndhcp-option=option:router,{}\n{}",
                       network.subnet->first().to_string(), netmask(*network.subnet),
                       network.gateway->to_string(), dns_line(dns, false));
}

/// Router advertisements tell guests to ask for their address: one that they made up themselves would not be
/// the one that they may send from. For half an hour, since dnsmasq gives it to nobody else meanwhile, not
/// even to the same NIC with a new system on it.
std::string ip6_lines(const NetworkRecord& network, const std::vector<IpAddress>& dns) {
    return fmt::format(
        "\n# IPv6\ndhcp-range={},static,{},30m\nenable-ra\nra-param=guests,mtu:off,600,1800\n{}",
        network.subnet6->first().to_string(), network.subnet6->length(), dns_line(dns, true));
}

std::string beginning(std::string_view what, const NetworkRecord& network, int port) {
    return fmt::format(
               "# {} of the network {}, written by capsul. Settings of your own go here too: a file that "
               "was edited is left alone.\n",
               what, network.name.to_string()) +
           fmt::format(common_lines, port);
}

/// What it does not know of the VPN does not exist; for the rest it refuses, since it has nobody to ask, and
/// guests go on to their next server (dnsmasq 2.90; NXDOMAIN would end their search).
std::string name_lines(const NetworkRecord& network) {
    std::string text = fmt::format("cache-size=0\nlocal-ttl=5\nlocal=/{}/\n", vpn_domain(network.name));
    for (const auto& subnet : {network.subnet, network.subnet6}) {
        text += subnet ? fmt::format("rev-server={}\n", subnet->to_string()) : "";
    }
    return text;
}

/// Others' guests are theirs: without dhcp-ignore, who asks another host for an address would be told that it
/// is wrong. A VPN leads nowhere else: no router. Names are those of the hosts file alone.
std::string vpn_dhcp_lines(const NetworkRecord& network) {
    const std::string domain = vpn_domain(network.name);
    const IpAddress resolver = vpn_resolver_ip(network.vpn->slice);
    std::string text =
        fmt::format("\n# DHCP\n{}dhcp-ignore=tag:!known\ndhcp-ignore-names\ndomain={}\ndhcp-fqdn\n"
                    "\n# IPv4\ndhcp-range={},static,{},infinite\ndhcp-option=option:router\n"
                    "dhcp-option=option:domain-search,{}\ndhcp-option=option:mtu,{}\n{}",
                    common_of_dhcp, domain, network.subnet->first().to_string(), netmask(*network.subnet),
                    domain, network.vpn->mtu, dns_line({resolver}, false));
    if (network.subnet6) {
        text += fmt::format("\n# IPv6\ndhcp-range={},static,{},30m\nenable-ra\nra-param=guests,mtu:{},600,0\n"
                            "dhcp-option=option6:domain-search,{}\n{}",
                            network.subnet6->first().to_string(), network.subnet6->length(), network.vpn->mtu,
                            domain, dns_line({vpn_ip6(*network.subnet6, resolver)}, true));
    }
    return text;
}

} // namespace

std::string resolver_config(const NetworkRecord& network) {
    std::string text = beginning("Names", network, 53);
    text += name_lines(network);
    if (network.dhcp) {
        text += vpn_dhcp_lines(network);
    }
    return seal(text);
}

std::string dnsmasq_config(const NetworkRecord& network, const std::vector<IpAddress>& dns) {
    std::string text = beginning("DHCP", network, 0);
    text += common_of_dhcp;
    if (network.subnet && network.gateway) {
        text += ip4_lines(network, dns);
    }
    if (network.subnet6 && network.gateway6) {
        text += ip6_lines(network, dns);
    }
    return seal(text);
}

std::string dnsmasq_hosts(const std::vector<DhcpHost>& hosts) {
    std::string text = "# Written anew by capsul whenever a NIC comes or goes.\n";
    for (const DhcpHost& host : hosts) {
        if (!host.ip && !host.ip6) {
            continue;
        }
        text += host.mac.to_string();
        text += host.ip ? "," + host.ip->to_string() : "";
        text += host.ip6 ? fmt::format(",[{}]", host.ip6->to_string()) : "";
        const std::string& name = host.vm.to_string();
        text += is_host_name_to_dnsmasq(name) ? "," + name + "\n" : "\n";
    }
    return text;
}

} // namespace capsul
