#include "daemon/vm_unit.hpp"

#include "daemon/unit_file.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::uint64_t mib = 1U << 20U;

/// QEMU's own memory beside the guest's: tables grow with the guest, and emulation keeps up to 1 GiB of
/// translated code.
std::uint64_t memory_limit(const VmRecord& vm) {
    return vm.memory.count() + vm.memory.count() / 16 + 1536 * mib;
}

/// QEMU's threads: one a CPU, up to 64 for disk work, a few of its own.
int task_limit(const VmRecord& vm) {
    return vm.cpus.number() + 128;
}

std::string read_only_files(const VmFiles& files) {
    std::string paths = unit_path(files.base);
    for (const auto& file : {files.kernel, files.initrd}) {
        if (file) {
            paths += " " + unit_path(*file);
        }
    }
    return paths;
}

/// Programs outside /usr (an installation in a home) must be seen through the sandbox.
std::string program_lines(const fs::path& programs) {
    const std::string folder = unit_path(programs);
    if (folder.starts_with("/usr/")) {
        return "ExecPaths=/usr\n";
    }
    return fmt::format("BindReadOnlyPaths={0}\nExecPaths=/usr {0}\n", folder);
}

// What this systemd (252) really enforces for a user unit: without PrivateUsers= it ignores most of it
// silently. No MemoryDenyWriteExecute=, since QEMU may fall back to emulation, which writes the code that it
// runs. No PrivateIPC=: with PrivateUsers= it keeps ExecStop from starting (the IPC namespace belongs to the
// first command's user namespace), and a stop would be a power cut.
constexpr std::string_view sandbox = R"(
# The sandbox
PrivateUsers=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
KeyringMode=private
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @mount @obsolete @swap @reboot @raw-io @clock @cpu-emulation @debug @module @keyring
SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev pidfd_getfd userfaultfd bpf perf_event_open
SystemCallErrorNumber=EPERM
ProtectSystem=strict
ProtectHome=tmpfs
TemporaryFileSystem=/var:ro /run:ro
InaccessiblePaths=-/srv -/mnt -/media -/boot
PrivateTmp=yes
PrivateDevices=yes
BindPaths=-/dev/kvm
BindReadOnlyPaths=-/run/systemd/resolve -/run/resolvconf -/run/NetworkManager/resolv.conf
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectClock=yes
NoExecPaths=/
)";

} // namespace

std::string vm_unit(const VmRecord& vm, const VmFiles& files, const fs::path& programs) {
    const auto stop_seconds = std::chrono::ceil<std::chrono::seconds>(vm.stop_timeout.value()).count();
    const std::vector<std::string> stop{(programs / "capsul-powerdown").string(),
                                        std::to_string(stop_seconds), (files.runtime / "stop.sock").string()};
    std::string text =
        fmt::format(R"(# The VM {name}, written by capsul. Its hardware is in {config}.
# Settings of your own go into a drop-in: systemctl --user edit {unit}
[Unit]
Description=Virtual machine {name}
Documentation=man:capsulctl(1)
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=exec
ExecStart={start}
# Asks the guest to power down and waits for it; needs no daemon. After that systemd sends TERM, which ends QEMU.
ExecStop=-{stop}
KillMode=mixed
TimeoutStopSec={timeout}s
RuntimeDirectory=capsul/vms/{name}
RuntimeDirectoryMode=0700
SyslogIdentifier=qemu-{name}
LogExtraFields=CAPSUL_VM={name}
UMask=0077

# Limits
LimitCORE=0
CoredumpFilter=0
LimitNOFILE=8192
MemoryMax={memory}
MemorySwapMax=0
TasksMax={tasks}
CPUWeight=100
OOMPolicy=stop
OOMScoreAdjust=200
)",
                    fmt::arg("name", vm.name.to_string()), fmt::arg("unit", vm_unit_name(vm.name)),
                    fmt::arg("config", files.config().string()),
                    fmt::arg("start", quote_exec_line(qemu_command(vm, files))),
                    fmt::arg("stop", quote_exec_line(stop)), fmt::arg("timeout", stop_seconds + 10),
                    fmt::arg("memory", memory_limit(vm)), fmt::arg("tasks", task_limit(vm)));
    text += sandbox;
    text += program_lines(programs);
    text += fmt::format("BindReadOnlyPaths={} {}\n", unit_path(files.folder), read_only_files(files));
    text += fmt::format("BindPaths={} {} {}\n", unit_path(files.disk()), unit_path(files.serial_log()),
                        unit_path(files.runtime));
    text += "\n[Install]\nWantedBy=default.target\n";
    return seal(std::move(text));
}

} // namespace capsul
