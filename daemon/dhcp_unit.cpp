#include "daemon/dhcp_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <vector>

namespace capsul {
namespace {

namespace fs = std::filesystem;

using Words = std::vector<std::string>;

void add_address(Words& words, const std::optional<IpAddress>& address, const std::optional<Cidr>& subnet) {
    if (address && subnet) {
        words.insert(words.end(),
                     {"--address", fmt::format("{}/{}", address->to_string(), subnet->length())});
    }
}

/// In the name of the bridge.
Words nat_role(const NetworkRecord& network) {
    Words words{"--bridge", network.bridge.to_string(), "--trunk", network.dhcp_tap->to_string()};
    add_address(words, network.gateway, network.subnet);
    add_address(words, network.gateway6, network.subnet6);
    return words;
}

/// A host of its own, with a MAC that no other host's resolver has.
Words vpn_role(const NetworkRecord& network) {
    constexpr int longest_frame = 1500; // that capsul-dhcp carries
    const VpnRecord& vpn = *network.vpn;
    const IpAddress ip = vpn_resolver_ip(vpn.slice);
    Words words{"--mac",   Mac::derive(vpn.id, vpn.node.to_string()).to_string(),
                "--trunk", network.dhcp_tap->to_string(),
                "--mtu",   fmt::to_string(std::min(vpn.mtu, longest_frame))};
    add_address(words, ip, network.subnet);
    if (network.subnet6) {
        add_address(words, vpn_ip6(*network.subnet6, ip), network.subnet6);
    }
    return words;
}

Words dnsmasq_command(const NetworkRecord& network, const fs::path& folder) {
    const fs::path dhcp = folder / "dhcp";
    Words words{dnsmasq_program, "--keep-in-foreground", "--conf-file=" + (dhcp / "dnsmasq.conf").string()};
    if (network.dhcp) {
        words.push_back("--dhcp-hostsfile=" + (dhcp / "hosts").string());
    }
    if (network.vpn) {
        words.push_back("--hostsdir=" + (folder / "dns").string());
    }
    return words;
}

std::vector<fs::path> readable_folders(const NetworkRecord& network, const fs::path& folder) {
    std::vector<fs::path> folders{folder / "dhcp"};
    if (network.vpn) {
        folders.push_back(folder / "dns");
    }
    return folders;
}

Words start_command(const NetworkRecord& network, const fs::path& folder, const fs::path& programs) {
    Words words{(programs / "capsul-dhcp").string()};
    std::ranges::copy(network.vpn ? vpn_role(network) : nat_role(network), std::back_inserter(words));
    for (const fs::path& readable : readable_folders(network, folder)) {
        words.insert(words.end(), {"--ro", readable.string()});
    }
    words.emplace_back("--");
    std::ranges::copy(dnsmasq_command(network, folder), std::back_inserter(words));
    return words;
}

struct Purpose {
    std::string_view comment;
    std::string_view description;
    int tasks; ///< dnsmasq has a process for each TCP connection, at most 20
};

Purpose purpose_of(const NetworkRecord& network) {
    if (!network.vpn) {
        return {"DHCP and router advertisements", "DHCP", 8};
    }
    return network.dhcp ? Purpose{"Names, DHCP and router advertisements", "Names and DHCP", 32}
                        : Purpose{"Names", "Names", 32};
}

// capsul-dhcp refuses the namespaces, and signals to others, to dnsmasq. PrivateUsers= does not get in its
// way: namespaces may be nested. No PrivateNetwork=, since the trunk is in the host's. The two namespaces of
// dnsmasq's own are why it has capabilities that are none on the host. systemd's own socket for readiness is
// the one thing that is shown of /run.
constexpr std::string_view beyond_the_sandbox = R"(MemoryDenyWriteExecute=yes
RestrictNamespaces=user net pid
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallFilter=capset
BindReadOnlyPaths=%t/systemd/notify
BindPaths=/dev/net/tun
)";

constexpr std::string_view limits = R"(
# Limits
LimitCORE=0
CoredumpFilter=0
LimitNOFILE=256
MemoryMax=64M
MemorySwapMax=0
TasksMax={}
CPUQuota=50%
OOMPolicy=stop
OOMScoreAdjust=200
)";

} // namespace

bool has_dhcp_unit(const NetworkRecord& network) {
    return network.dhcp || network.type == NetworkType::vpn;
}

std::string dhcp_unit(const NetworkRecord& network, const fs::path& folder, const fs::path& programs) {
    const fs::path dhcp = folder / "dhcp";
    const Purpose purpose = purpose_of(network);
    std::string text = fmt::format(
        R"(# {purpose} of the network {name}, written by capsul. What dnsmasq is told is in {dhcp}.
[Unit]
Description={description} of the network {name}
Documentation=man:capsulctl-network(1)
Requires={network}
After={network}
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={start}
# dnsmasq reads {dhcp}/hosts again.
ExecReload=/usr/bin/kill -HUP $MAINPID
KillMode=mixed
Restart=always
RestartSec=1s
# A wrong command line, and no sandbox.
RestartPreventExitStatus=2 78
TimeoutStartSec=30s
TimeoutStopSec=10s
SyslogIdentifier=dhcp-{name}
LogExtraFields=CAPSUL_NETWORK={name}
# A guest can ask as often as it likes.
LogRateLimitIntervalSec=30s
LogRateLimitBurst=300
UMask=0077
)",
        fmt::arg("purpose", purpose.comment), fmt::arg("description", purpose.description),
        fmt::arg("name", network.name.to_string()), fmt::arg("dhcp", dhcp.string()),
        fmt::arg("network", network_unit_name(network.name)),
        fmt::arg("start", quote_exec_line(start_command(network, folder, programs))));
    text += fmt::format(limits, purpose.tasks);
    text += nesting_sandbox_lines();
    text += beyond_the_sandbox;
    text += disk_lines(programs, {folder.parent_path().parent_path()}); // VMs and images
    for (const fs::path& readable : readable_folders(network, folder)) {
        text += fmt::format("BindReadOnlyPaths={}\n", unit_path(readable));
    }
    return seal(std::move(text));
}

} // namespace capsul
