#include "daemon/vm_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::uint64_t mib = 1U << 20U;

/// QEMU's own memory beside the guest's: tables grow with the guest, and emulation keeps up to 1 GiB of
/// translated code. A smaller limit holds at once, also for a QEMU that still has the memory of before.
std::uint64_t memory_limit(const VmRecord& vm) {
    const std::uint64_t memory = std::max(vm.memory, vm.memory_before.value_or(vm.memory)).count();
    return memory + memory / 16 + 1536 * mib;
}

/// QEMU's threads: one a CPU, up to 64 for disk work, a few of its own. The same for all, since a QEMU that
/// runs keeps the CPUs that it has when the VM gets fewer.
constexpr int task_limit = CpuCount::most + 128;

std::string limit_lines(const VmRecord& vm) {
    return fmt::format(R"(
# Limits
LimitCORE=0
CoredumpFilter=0
LimitNOFILE=8192
MemoryMax={}
MemorySwapMax=0
TasksMax={}
CPUWeight=100
OOMPolicy=stop
OOMScoreAdjust=200
)",
                       memory_limit(vm), task_limit);
}

std::vector<fs::path> read_only(const VmFiles& files) {
    std::vector<fs::path> paths{files.folder, files.base};
    for (const auto& file : {files.kernel, files.initrd}) {
        if (file) {
            paths.push_back(*file);
        }
    }
    return paths;
}

std::vector<fs::path> writable(const VmRecord& vm, const VmFiles& files) {
    std::vector<fs::path> paths{files.disk(), files.serial_log(), files.runtime};
    for (const DataDisk& disk : vm.disks) {
        paths.push_back(files.data_disk(disk.name));
    }
    return paths;
}

/// capsul-run sees that the sandbox below is there, narrows it to the same files, and becomes QEMU.
std::vector<std::string> start_command(const VmRecord& vm, const VmFiles& files, const fs::path& programs) {
    std::vector<std::string> argv{(programs / "capsul-run").string()};
    const auto add = [&](const char* option, const std::string& value) {
        argv.insert(argv.end(), {option, value});
    };
    if (has_user_nic(vm)) {
        add("--net", "user");
    }
    for (const Nic& nic : vm.nics) {
        if (nic.tap) {
            add("--tap", fmt::format("{}={}", tap_descriptor(nic), nic.tap->to_string()));
        }
    }
    for (const fs::path& path : read_only(files)) {
        add("--ro", path.string());
    }
    for (const fs::path& path : writable(vm, files)) {
        add("--rw", path.string());
    }
    argv.emplace_back("--");
    const std::vector<std::string> qemu = qemu_command(vm, files);
    argv.insert(argv.end(), qemu.begin(), qemu.end());
    return argv;
}

std::string path_line(std::string_view directive, const std::vector<fs::path>& paths) {
    std::string line = fmt::format("{}=", directive);
    for (const fs::path& path : paths) {
        line += (line.ends_with('=') ? "" : " ") + unit_path(path);
    }
    return line + "\n";
}

/// Its interfaces on the host come and go with it.
std::string tap_lines(const VmRecord& vm) {
    return has_taps(vm) ? fmt::format("Requires={0}\nAfter={0}\n", tap_unit_name(vm.name)) : std::string();
}

/// Its published ports open and close with it. It runs without them rather than not at all.
std::string publish_lines(const VmRecord& vm) {
    return is_relayed(vm) ? fmt::format("Wants={0}\nAfter={0}\n", publish_socket_name(vm.name))
                          : std::string();
}

/// User-mode networking is QEMU itself speaking to the network, as the user. To TAPs capsul-run attaches.
std::string network_lines(const VmRecord& vm) {
    std::string lines = has_user_nic(vm) ? R"(RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
BindReadOnlyPaths=-/run/systemd/resolve -/run/resolvconf -/run/NetworkManager/resolv.conf
)"
                                         : "RestrictAddressFamilies=AF_UNIX\n";
    if (has_taps(vm)) {
        lines += "BindPaths=/dev/net/tun\n";
    }
    return lines;
}

} // namespace

std::string vm_syslog_identifier(const Name& vm) {
    return "qemu-" + vm.to_string();
}

std::string vm_unit(const VmRecord& vm, const VmFiles& files, const fs::path& programs) {
    const auto stop_seconds = std::chrono::ceil<std::chrono::seconds>(vm.stop_timeout.value()).count();
    const std::vector<std::string> stop{(programs / "capsul-powerdown").string(),
                                        std::to_string(stop_seconds), (files.runtime / "stop.sock").string()};
    std::string text = fmt::format(
        R"(# The VM {name}, written by capsul. Its hardware is in {config}.
# Settings of your own go into a drop-in: systemctl --user edit {unit}
[Unit]
Description=Virtual machine {name}
Documentation=man:capsulctl(1)
{needs}StartLimitIntervalSec=60
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
SyslogIdentifier={identifier}
LogExtraFields=CAPSUL_VM={name}
UMask=0077
)",
        fmt::arg("name", vm.name.to_string()), fmt::arg("unit", vm_unit_name(vm.name)),
        fmt::arg("identifier", vm_syslog_identifier(vm.name)), fmt::arg("config", files.config().string()),
        fmt::arg("needs", tap_lines(vm) + publish_lines(vm)),
        fmt::arg("start", quote_exec_line(start_command(vm, files, programs))),
        fmt::arg("stop", quote_exec_line(stop)), fmt::arg("timeout", stop_seconds + 10));
    text += limit_lines(vm);
    text += sandbox_lines();
    text += "BindPaths=-/dev/kvm\n";
    text += network_lines(vm);
    text += disk_lines(programs, {files.folder.parent_path(), files.base.parent_path()}); // others' too
    text += path_line("BindReadOnlyPaths", read_only(files));
    text += path_line("BindPaths", writable(vm, files));
    text += path_line("NoExecPaths", writable(vm, files));
    text += "\n[Install]\nWantedBy=default.target\n";
    return seal(std::move(text));
}

} // namespace capsul
