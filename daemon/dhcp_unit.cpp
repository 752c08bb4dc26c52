#include "daemon/dhcp_unit.hpp"

#include "daemon/unit_file.hpp"

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

/// The user's home, VMs and images are not there, wherever they are. Below an inaccessible folder nothing
/// could be shown.
std::string hidden_lines(const fs::path& data) {
    const std::string hidden = unit_path(data);
    std::string lines = fmt::format("TemporaryFileSystem=%h:ro {}:ro\nInaccessiblePaths=-/boot", hidden);
    for (const std::string folder : {"/srv", "/mnt", "/media"}) {
        if (!hidden.starts_with(folder + "/")) {
            lines += " -" + folder;
        }
    }
    return lines + "\n";
}

std::string program_lines(const fs::path& programs) {
    const std::string folder = unit_path(programs);
    return folder.starts_with("/usr/") ? "ExecPaths=/usr\n"
                                       : fmt::format("BindReadOnlyPaths={0}\nExecPaths=/usr {0}\n", folder);
}

// As a VM's, with what the making of a namespace needs: RestrictNamespaces= leaves three kinds, and
// capsul-dhcp refuses them, and signals to others, to dnsmasq. PrivateUsers= does not get in its way:
// namespaces may be nested. No PrivateNetwork=, since the trunk is in the host's; no ReadOnlyPaths=/proc,
// where the new namespace's users are written. The two namespaces of dnsmasq's own are why it has
// capabilities that are none on the host. systemd's own socket for readiness is the one thing that is shown
// of /run.
constexpr std::string_view sandbox = R"(
# The sandbox
PrivateUsers=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=user net pid
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @mount @obsolete @swap @reboot @raw-io @clock @cpu-emulation @debug @module @keyring
SystemCallFilter=capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev pidfd_getfd userfaultfd bpf perf_event_open
SystemCallFilter=~shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink
SystemCallErrorNumber=EPERM
PrivateMounts=yes
ProtectSystem=strict
ProtectHome=tmpfs
TemporaryFileSystem=/home:ro /root:ro /run:ro /run/user:ro /var:ro /dev/shm:ro /dev/mqueue:ro
BindReadOnlyPaths=/usr %t/systemd/notify
PrivateTmp=yes
PrivateDevices=yes
BindPaths=/dev/net/tun
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectClock=yes
NoExecPaths=/ -/tmp -/var/tmp
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
)",
        fmt::arg("name", network.name.to_string()), fmt::arg("dhcp", dhcp.string()),
        fmt::arg("network", network_unit_name(network.name)),
        fmt::arg("start", quote_exec_line(start_command(network, dhcp, programs))));
    text += sandbox;
    text += program_lines(programs);
    text += hidden_lines(folder.parent_path().parent_path());
    text += fmt::format("BindReadOnlyPaths={}\n", unit_path(dhcp));
    return seal(std::move(text));
}

} // namespace capsul
