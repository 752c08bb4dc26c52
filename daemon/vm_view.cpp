#include "daemon/vm_view.hpp"

#include "daemon/file_copy.hpp"
#include "daemon/journal.hpp"
#include "daemon/unit_file.hpp"
#include "daemon/vm_nics.hpp"
#include "daemon/vm_publish.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <set>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <unordered_map>

namespace capsul {
namespace {

bool is_up(VmState state) {
    return state == VmState::running || state == VmState::paused;
}

/// The file names in a folder; none when it is not there.
std::set<std::string> names_in(const fs::path& folder) {
    std::set<std::string> names;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
        names.insert(entry.path().filename().string());
    }
    return names;
}

/// What is wrong with a unit's file, as a look from outside tells.
std::optional<std::string> file_problem(const fs::path& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) {
        const int number = errno;
        return number == ENOENT ? "its unit file is missing"
                                : "its unit file: " + std::generic_category().message(number);
    }
    if (!S_ISREG(status.st_mode)) {
        return fmt::format("its unit is masked: {} is not a regular file", file.string());
    }
    if (status.st_size == 0) {
        return "its unit file is empty; `capsulctl start` writes it anew";
    }
    if (::access(file.c_str(), R_OK) != 0) {
        return "its unit file cannot be read: " + file.string();
    }
    return std::nullopt;
}

/// The same with the file read and systemd's word on it.
std::optional<std::string> unit_problem(const fs::path& file, const ServiceStatus& status) {
    if (auto problem = file_problem(file)) {
        return problem;
    }
    try {
        if (check_seal(read_file(file)) == SealState::torn) {
            return "its unit file is cut short, or not capsul's; `capsulctl start` writes it anew";
        }
    } catch (const Error& error) {
        return fmt::format("its unit file: {}", error.what());
    }
    const bool is_refused =
        status.load_state == "bad-setting" || status.load_state == "error" || status.load_state == "masked";
    if (is_refused && !status.need_daemon_reload) { // else systemd means an older text
        return fmt::format("systemd cannot use its unit: {}; `systemctl --user status {}` tells more",
                           status.load_state, file.filename().string());
    }
    return std::nullopt;
}

/// What is known without asking anybody about this VM alone.
Vm describe(const Stored<VmRecord>& stored, const std::string& active_state,
            const std::optional<std::string>& problem, bool enabled, bool paused) {
    Vm vm;
    vm.name = stored.name;
    vm.unit = vm_unit_name(stored.name);
    vm.enabled = enabled;
    vm.state = state_of_unit<VmState>(active_state);
    if (vm.state == VmState::running && paused) {
        vm.state = VmState::paused;
    }
    if (!stored.record) {
        vm.state = VmState::broken;
        vm.reason = stored.broken;
        return vm;
    }
    vm.spec = *stored.record;
    vm.ssh = ssh_endpoint(*stored.record);
    if (problem) {
        vm.state = VmState::broken;
        vm.reason = problem;
    }
    return vm;
}

/// When QEMU started: it makes its QMP socket first. To ask systemd would be a call for each VM.
std::optional<Timestamp> socket_time(const fs::path& socket) {
    struct stat status {};
    if (::stat(socket.c_str(), &status) != 0) {
        return std::nullopt;
    }
    return Timestamp(std::chrono::sys_seconds(std::chrono::seconds(status.st_mtim.tv_sec)));
}

/// What each disk takes on the host; one that cannot be looked at is left out.
std::map<std::string, std::uint64_t> disk_usage(const VmRecord& vm, const VmFiles& files) {
    std::map<std::string, std::uint64_t> usage;
    for (const GuestDisk& disk : guest_disks(vm, files)) {
        if (const auto bytes = allocated_bytes(disk.file)) {
            usage[disk.name] = *bytes;
        }
    }
    return usage;
}

bool wanted_by(const VmList& wanted, const Vm& vm) {
    const bool state_ok =
        wanted.state.empty() || std::ranges::find(wanted.state, vm.state) != wanted.state.end();
    return state_ok && std::ranges::all_of(wanted.label, [&](const std::string& selector) {
               return vm.spec && label_matches(vm.spec->labels, selector);
           });
}

std::string failure_reason(const ServiceStatus& status) {
    std::string reason = "systemd says: " + status.result;
    if (status.result == "exit-code") {
        reason += fmt::format(" {}", status.exec_main_status);
    }
    return reason;
}

std::string read_if_there(const std::string& path) {
    try {
        return read_file(path);
    } catch (const Error& error) {
        return fmt::format("# {}\n", error.what());
    }
}

} // namespace

std::vector<Vm> VmView::list(const VmList& wanted) const {
    std::unordered_map<std::string, std::string> active;
    for (UnitStatus& unit : host_.systemd.list("capsul-vm-*.service")) {
        active.emplace(std::move(unit.name), std::move(unit.active_state));
    }
    const auto enabled = names_in(host_.paths.wants());
    std::vector<Vm> vms;
    for (const Stored<VmRecord>& stored : host_.store.vms.list()) {
        const std::string unit = vm_unit_name(stored.name);
        const auto found = active.find(unit);
        Vm vm = describe(stored, found == active.end() ? "inactive" : found->second,
                         file_problem(host_.unit_file(stored.name)), enabled.contains(unit),
                         host_.monitors.paused(stored.name));
        if (found != active.end() && is_up(vm.state)) {
            vm.since = socket_time(host_.paths.vm_runtime(stored.name) / "qmp.sock");
        }
        if (wanted_by(wanted, vm)) {
            vms.push_back(std::move(vm));
        }
    }
    return vms;
}

Vm VmView::show(const Name& name) const {
    const auto stored = host_.store.vms.find(name);
    if (!stored) {
        throw no_such_vm(name);
    }
    const std::string unit = vm_unit_name(name);
    const ServiceStatus status = host_.systemd.status(unit);
    Vm vm = describe(*stored, status.active_state, unit_problem(host_.unit_file(name), status),
                     fs::is_symlink(host_.wants_link(name)), host_.monitors.paused(name));
    if (vm.state == VmState::failed) {
        vm.reason = failure_reason(status);
        for (const std::string& line : journal_lines(status, 1, std::chrono::milliseconds(0))) {
            *vm.reason += "; QEMU's last words: " + line;
        }
    }
    if (stored->record) {
        vm.disk_usage = disk_usage(*stored->record, host_.files(*stored->record));
    }
    if (stored->record && is_up(vm.state)) {
        if (has_taps(*stored->record)) {
            vm.nics = nic_statuses(*stored->record, ask_packet_filter(host_.systemd, host_.paths.runtime));
        }
        vm.unpublished = publish_problem(host_, *stored->record);
    }
    if (status.main_pid > 0) {
        vm.pid = status.main_pid;
        vm.since =
            Timestamp(std::chrono::sys_seconds(std::chrono::seconds(status.active_enter_usec / 1'000'000)));
    }
    return vm;
}

UnitView VmView::unit(const Name& name) const {
    host_.require(name);
    const ServiceStatus status = host_.systemd.status(vm_unit_name(name));
    UnitView view;
    view.unit = vm_unit_name(name);
    view.active_state = status.active_state;
    view.enabled = fs::is_symlink(host_.wants_link(name));
    view.need_daemon_reload = status.need_daemon_reload;
    const std::string file =
        status.fragment_path.empty() ? host_.unit_file(name).string() : status.fragment_path;
    view.text = fmt::format("# {}\n{}", file, read_if_there(file));
    for (const std::string& drop_in : status.drop_in_paths) {
        view.text += fmt::format("\n# {}\n{}", drop_in, read_if_there(drop_in));
    }
    return view;
}

CommandView VmView::command(const Name& name) const {
    const VmRecord vm = host_.store.vms.load(name);
    return {qemu_command_in_full(vm, host_.files(vm), host_.accelerator())};
}

} // namespace capsul
