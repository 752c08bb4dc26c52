#include "daemon/unit_sandbox.hpp"

#include "daemon/unit_file.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

// What this systemd (252) really enforces for a user unit: without PrivateUsers= it ignores most of it
// silently. MemoryDenyWriteExecute= is not here, since QEMU may fall back to emulation, which writes the code
// that it runs. No PrivateIPC=: with PrivateUsers= it keeps ExecStop from starting (the IPC namespace belongs
// to the first command's user namespace), and a stop would be a power cut; so the calls are refused instead,
// and what PrivateDevices= leaves of the host's /dev is covered. ExecPaths= makes a writable mount of /usr:
// hence BindReadOnlyPaths=. And NoExecPaths= reaches no mount that the unit itself makes: so each writable
// one is named.
constexpr std::string_view common = R"(
# The sandbox
PrivateUsers=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
KeyringMode=private
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @mount @obsolete @swap @reboot @raw-io @clock @cpu-emulation @debug @module @keyring
SystemCallFilter=seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev pidfd_getfd userfaultfd bpf perf_event_open
SystemCallFilter=~shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink
SystemCallErrorNumber=EPERM
PrivateMounts=yes
ProtectSystem=strict
ProtectHome=tmpfs
TemporaryFileSystem=/home:ro /root:ro /run:ro /run/user:ro /var:ro /dev/shm:ro /dev/mqueue:ro
BindReadOnlyPaths=/usr
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectClock=yes
NoExecPaths=/ -/tmp -/var/tmp
)";

std::string run_lines(const std::filesystem::path& programs) {
    const std::string folder = unit_path(programs);
    return folder.starts_with("/usr/") ? "ExecPaths=/usr\n"
                                       : fmt::format("BindReadOnlyPaths={0}\nExecPaths=/usr {0}\n", folder);
}

} // namespace

// /proc is read-only since any process may set the OOM score of others of its user.
std::string sandbox_lines() {
    return nesting_sandbox_lines() + "RestrictNamespaces=yes\nReadOnlyPaths=/proc\n";
}

std::string nesting_sandbox_lines() {
    return std::string(common);
}

std::string disk_lines(const std::filesystem::path& programs,
                       const std::vector<std::filesystem::path>& emptied) {
    std::string lines = run_lines(programs) + "TemporaryFileSystem=%h:ro";
    for (const std::filesystem::path& folder : emptied) {
        lines += fmt::format(" {}:ro", unit_path(folder));
    }
    lines += "\nInaccessiblePaths=-/boot";
    for (const std::string folder : {"/srv", "/mnt", "/media"}) {
        const auto is_inside = [&](const std::filesystem::path& path) {
            return path == folder || path.native().starts_with(folder + "/");
        };
        // Below an inaccessible folder nothing could be shown.
        if (!is_inside(programs) && std::ranges::none_of(emptied, is_inside)) {
            lines += " -" + folder;
        }
    }
    return lines + "\n";
}

} // namespace capsul
