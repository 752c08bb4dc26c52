#include "daemon/dhcp_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"

#include <fmt/format.h>
#include <vector>

namespace capsul {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> start_command(const NetworkRecord& network, const fs::path& dhcp,
                                       const fs::path& programs) {
    std::vector<std::string> argv{(programs / "capsul-dhcp").string(), "--bridge", network.bridge.to_string(),
                                  "--trunk", network.dhcp_tap->to_string()};
    const auto add_address = [&](const std::optional<IpAddress>& gateway, const std::optional<Cidr>& subnet) {
        if (gateway && subnet) {
            argv.insert(argv.end(),
                        {"--address", fmt::format("{}/{}", gateway->to_string(), subnet->length())});
        }
    };
    add_address(network.gateway, network.subnet);
    add_address(network.gateway6, network.subnet6);
    argv.insert(argv.end(), {"--ro", dhcp.string(), "--", dnsmasq_program, "--keep-in-foreground",
                             "--conf-file=" + (dhcp / "dnsmasq.conf").string(),
                             "--dhcp-hostsfile=" + (dhcp / "hosts").string()});
    return argv;
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
TasksMax=8
CPUQuota=50%
OOMPolicy=stop
OOMScoreAdjust=200
)";

} // namespace

std::string dhcp_unit(const NetworkRecord& network, const fs::path& folder, const fs::path& programs) {
    const fs::path dhcp = folder / "dhcp";
    std::string text = fmt::format(
        R"(# DHCP and router advertisements of the network {name}, written by capsul. What dnsmasq is told is in {dhcp}.
[Unit]
Description=DHCP of the network {name}
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
        fmt::arg("name", network.name.to_string()), fmt::arg("dhcp", dhcp.string()),
        fmt::arg("network", network_unit_name(network.name)),
        fmt::arg("start", quote_exec_line(start_command(network, dhcp, programs))));
    text += limits;
    text += nesting_sandbox_lines();
    text += beyond_the_sandbox;
    text += disk_lines(programs, {folder.parent_path().parent_path()}); // VMs and images
    text += fmt::format("BindReadOnlyPaths={}\n", unit_path(dhcp));
    return seal(std::move(text));
}

} // namespace capsul
