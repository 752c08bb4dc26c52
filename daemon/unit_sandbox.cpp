#include "daemon/unit_sandbox.hpp"

#include "daemon/unit_file.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

// What this systemd (252) really enforces for a user unit: without PrivateUsers= it ignores most of it
// silently. MemoryDenyWriteExecute= is not here, since QEMU may fall back to emulation, which writes the code
// that it runs. No PrivateIPC=: with PrivateUsers= it keeps ExecStop from starting (the IPC namespace belongs
// to the first command's user namespace), and a stop would be a power cut; so the calls are refused instead,
// and what PrivateDevices= leaves of the host's /dev is covered. /proc is read-only since any process may set
// the OOM score of others of its user. ExecPaths= makes a writable mount of /usr: hence BindReadOnlyPaths=.
// And NoExecPaths= reaches no mount that the unit itself makes: so each writable one is named.
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
ReadOnlyPaths=/proc
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

} // namespace

std::string_view sandbox_lines() {
    return sandbox;
}

std::string program_lines(const std::filesystem::path& programs) {
    const std::string folder = unit_path(programs);
    if (folder.starts_with("/usr/")) {
        return "ExecPaths=/usr\n";
    }
    return fmt::format("BindReadOnlyPaths={0}\nExecPaths=/usr {0}\n", folder);
}

} // namespace capsul
