#include "daemon/vpn_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"

#include <fmt/format.h>
#include <vector>

namespace capsul {
namespace {

namespace fs = std::filesystem;

/// tincd does not start without a file for its number, and removes that when it ends. Level 1 tells of
/// connections that come and go.
std::vector<std::string> start_command(const fs::path& tinc, const fs::path& programs) {
    return {(programs / "capsul-run").string(),
            "--net",
            "user",
            "--tun",
            "--ro",
            tinc.string(),
            "--",
            tincd_program,
            "--config=" + tinc.string(),
            "--pidfile=/tmp/tincd.pid",
            "--no-detach",
            "--debug=1"};
}

// The files of the resolver are for the names of hosts.
constexpr std::string_view beyond_the_sandbox = R"(MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6
BindReadOnlyPaths=-/run/systemd/resolve -/run/resolvconf -/run/NetworkManager/resolv.conf
BindPaths=/dev/net/tun
)";

constexpr std::string_view limits = R"(
# Limits
LimitCORE=0
LimitFSIZE=64K
CoredumpFilter=0
LimitNOFILE=1024
MemoryMax=128M
MemorySwapMax=0
TasksMax=8
OOMPolicy=stop
OOMScoreAdjust=200
)";

} // namespace

std::string vpn_unit(const NetworkRecord& network, const fs::path& folder, const fs::path& programs) {
    const fs::path tinc = folder / "tinc";
    std::string text = fmt::format(
        R"(# The tunnel of the network {name} to other hosts, written by capsul. What tincd is told is in {tinc}.
[Unit]
Description=Tunnel of the network {name} to other hosts
Documentation=man:capsulctl-network(1) man:tincd(8)
Requires={network}
After={network}
# Whatever happens, it tries again.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={start}
# tincd reads {tinc} again: hosts that have gone are cut off, new ones called.
ExecReload=/usr/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1s
# A wrong command line, and no sandbox.
RestartPreventExitStatus=2 78
TimeoutStopSec=10s
SyslogIdentifier=tinc-{name}
LogExtraFields=CAPSUL_NETWORK={name}
# Other hosts, and whoever finds the port, can make it complain as often as they like.
LogRateLimitIntervalSec=30s
LogRateLimitBurst=300
UMask=0077
)",
        fmt::arg("name", network.name.to_string()), fmt::arg("tinc", tinc.string()),
        fmt::arg("network", network_unit_name(network.name)),
        fmt::arg("start", quote_exec_line(start_command(tinc, programs))));
    text += limits;
    text += sandbox_lines();
    text += beyond_the_sandbox;
    text += disk_lines(programs, {folder.parent_path().parent_path()}); // VMs and images
    text += fmt::format("BindReadOnlyPaths={}\n", unit_path(tinc));
    return seal(std::move(text));
}

} // namespace capsul
