#include "daemon/peer_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"

#include <fmt/format.h>
#include <vector>

namespace capsul {
namespace {

namespace fs = std::filesystem;

/// Beyond the end of the invitation: who has begun to join in time may finish.
constexpr std::chrono::minutes slack{5};

/// `command` is that of a member; `option` names the `file` that it writes.
std::vector<std::string> member_command(const char* command, const NetworkRecord& network,
                                        const fs::path& folder, const fs::path& programs, const char* option,
                                        const fs::path& file) {
    return {(programs / "capsul-peer").string(),
            command,
            "--folder",
            (folder / "peer").string(),
            "--identity",
            (folder / "identity.key").string(),
            "--listen",
            fmt::format("{}:{}", vpn_host_ip(network.vpn->slice).to_string(), vpn_sync_port),
            option,
            file.string()};
}

std::vector<std::string> invite_command(const fs::path& folder, const fs::path& programs) {
    return {(programs / "capsul-peer").string(),
            "invite",
            "--folder",
            (folder / "peer").string(),
            "--hosts",
            (folder / "tinc/hosts").string(),
            "--invitation",
            invitation_file(folder).string()};
}

// A thread for each who has connected and for each host that is asked. Whoever can reach the port may try to
// use up what there is.
constexpr std::string_view limits = R"(# Anybody who reaches the port can try as often as they like.
LogRateLimitIntervalSec=30s
LogRateLimitBurst=100
UMask=0077

# Limits
LimitCORE=0
CoredumpFilter=0
LimitNOFILE=1024
MemoryMax=256M
MemorySwapMax=0
TasksMax=256
CPUQuota=50%
OOMPolicy=stop
OOMScoreAdjust=200
)";

/// systemd's own socket for readiness is the one thing that is shown of /run, beside what is `writable`.
std::string sandbox(const fs::path& folder, const fs::path& programs, const std::vector<fs::path>& readable,
                    const std::vector<fs::path>& writable) {
    std::string text = sandbox_lines();
    text += "MemoryDenyWriteExecute=yes\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n"
            "BindReadOnlyPaths=%t/systemd/notify\n";
    text += disk_lines(programs, {folder.parent_path().parent_path()}); // VMs, images, other networks
    for (const fs::path& path : readable) {
        text += fmt::format("BindReadOnlyPaths={}\n", unit_path(path));
    }
    for (const fs::path& path : writable) {
        text += fmt::format("BindPaths={0}\nNoExecPaths={0}\n", unit_path(path));
    }
    return text;
}

} // namespace

fs::path peer_status_file(const fs::path& runtime, const Name& network) {
    return runtime / "capsul/peers" / network.to_string() / "status.json";
}

fs::path invitation_file(const fs::path& folder) {
    return folder / "invite" / "invitation.json";
}

fs::path findings_file(const fs::path& folder) {
    return folder / "check" / "findings.json";
}

std::string check_unit_name(const Name& network) {
    return "capsul-check-" + network.to_string() + ".service";
}

std::string invite_unit_name(const Name& network) {
    return "capsul-invite-" + network.to_string() + ".service";
}

std::string peer_unit(const NetworkRecord& network, const fs::path& folder, const fs::path& runtime,
                      const fs::path& programs) {
    const fs::path status = peer_status_file(runtime, network.name);
    std::string text = fmt::format(
        R"(# Tells the other hosts of the VPN {name} what has changed here, written by capsul. What it tells is in {peer}.
[Unit]
Description=Hosts of the network {name}
Documentation=man:capsulctl-network(1)
Requires={network}
After={network}
# Takes in what this hears, at boot too.
Wants=capsuld.service
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={start}
# It asks all hosts again, and tells them of what has changed.
ExecReload=/usr/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1s
# A wrong command line.
RestartPreventExitStatus=2
TimeoutStartSec=30s
TimeoutStopSec=10s
RuntimeDirectory=capsul/peers/{name}
RuntimeDirectoryMode=0700
SyslogIdentifier=capsul-peer-{name}
LogExtraFields=CAPSUL_NETWORK={name}
)",
        fmt::arg("name", network.name.to_string()), fmt::arg("peer", (folder / "peer").string()),
        fmt::arg("network", network_unit_name(network.name)),
        fmt::arg("start",
                 quote_exec_line(member_command("sync", network, folder, programs, "--status", status))));
    text += limits;
    text += sandbox(folder, programs, {folder / "peer", folder / "identity.key"},
                    {folder / "peer/inbox", status.parent_path()});
    return seal(std::move(text));
}

std::string invite_unit(const NetworkRecord& network, const fs::path& folder, const fs::path& programs,
                        std::chrono::seconds lasts) {
    std::string text = fmt::format(
        R"(# Waits for a host that joins the VPN {name} by an invitation, written by capsul. It is there only for as
# long as the invitation is open.
[Unit]
Description=Invitation into the network {name}
Documentation=man:capsulctl-network(1)
ConditionPathExists={file}
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={start}
Restart=on-failure
RestartSec=1s
# A wrong command line.
RestartPreventExitStatus=2
RuntimeMaxSec={lasts}s
TimeoutStartSec=30s
TimeoutStopSec=10s
SyslogIdentifier=capsul-invite-{name}
LogExtraFields=CAPSUL_NETWORK={name}
)",
        fmt::arg("name", network.name.to_string()), fmt::arg("file", unit_path(invitation_file(folder))),
        fmt::arg("start", quote_exec_line(invite_command(folder, programs))),
        fmt::arg("lasts", (lasts + slack).count()));
    text += limits;
    text += sandbox(folder, programs, {folder / "peer", folder / "tinc/hosts"},
                    {folder / "peer/inbox", invitation_file(folder).parent_path()});
    return seal(std::move(text));
}

std::string check_unit(const NetworkRecord& network, const fs::path& folder, const fs::path& programs) {
    const fs::path findings = findings_file(folder);
    std::string text = fmt::format(
        R"(# Tries how well the other hosts of the VPN {name} are reached, for `capsulctl network check`; written by capsul.
[Unit]
Description=Check of the network {name}
Documentation=man:capsulctl-network(1)

[Service]
Type=oneshot
ExecStart={start}
TimeoutStartSec={limit}s
TimeoutStopSec=10s
SyslogIdentifier=capsul-check-{name}
LogExtraFields=CAPSUL_NETWORK={name}
)",
        fmt::arg("name", network.name.to_string()),
        fmt::arg("start",
                 quote_exec_line(member_command("check", network, folder, programs, "--result", findings))),
        fmt::arg("limit", std::chrono::seconds(check_limit).count()));
    text += limits;
    text += sandbox(folder, programs, {folder / "peer", folder / "identity.key"}, {findings.parent_path()});
    text += "BindReadOnlyPaths=-/run/systemd/resolve -/run/resolvconf -/run/NetworkManager/resolv.conf\n";
    return seal(std::move(text));
}

} // namespace capsul
