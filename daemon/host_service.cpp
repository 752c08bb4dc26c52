#include "daemon/host_service.hpp"

#include "daemon/build_needs.hpp"
#include "daemon/kvm_probe.hpp"
#include "daemon/network_doctor.hpp"
#include "daemon/process.hpp"
#include "daemon/user_name.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <iterator>
#include <sys/statvfs.h>
#include <system_error>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

Finding good(const char* check, std::string message) {
    return {check, Severity::ok, std::move(message), {}};
}
Finding warn(const char* check, std::string message, std::string hint) {
    return {check, Severity::warning, std::move(message), std::move(hint)};
}
Finding fail(const char* check, std::string message, std::string hint) {
    return {check, Severity::failure, std::move(message), std::move(hint)};
}

/// The first line of a file of /proc or /sys; empty when it cannot be read.
std::string kernel_says(const fs::path& file) {
    try {
        const std::string text = read_file(file);
        return text.substr(0, text.find('\n'));
    } catch (const Error&) {
        return {};
    }
}

Finding check_manager(SystemdClient& systemd) {
    try {
        return good("systemd", "the user manager answers: systemd " + systemd.version());
    } catch (const Error& error) {
        return fail("systemd", error.what(), error.hint());
    }
}

Finding check_linger() {
    const std::string user = user_name();
    if (fs::exists("/var/lib/systemd/linger/" + user)) {
        return good("linger", "VMs start at boot and outlive your sessions: linger is on for " + user);
    }
    return warn("linger", "VMs stop when the last session of " + user + " ends, and do not start at boot",
                "sudo loginctl enable-linger " + user);
}

Finding check_program(const char* check, const char* program, const char* package) {
    try {
        const ProcessResult result = run_process({program, "--version"}, 10s);
        return good(check, result.out.substr(0, result.out.find('\n')));
    } catch (const Error& error) {
        return fail(check, error.what(), fmt::format("sudo apt-get install {}", package));
    }
}

Finding check_kvm(const Paths& paths) {
    const KvmFinding kvm = remembered_kvm(paths.runtime / "capsul");
    if (kvm.works) {
        return good("kvm", "KVM runs guest code");
    }
    const bool denied = ::access("/dev/kvm", F_OK) == 0 && ::access("/dev/kvm", R_OK | W_OK) != 0;
    return warn(
        "kvm", "guests are emulated, which is slow: " + kvm.reason,
        denied ? fmt::format("sudo usermod -aG kvm {0}; then reboot, or `sudo loginctl terminate-user {0}`, "
                             "which ends the sessions and VMs of {0}: its user manager keeps its old groups",
                             user_name())
               : "turn on virtualisation in the firmware, or nested virtualisation on the outer host");
}

Finding check_tun() {
    if (::access("/dev/net/tun", R_OK | W_OK) == 0) {
        return good("tun", "/dev/net/tun can be opened");
    }
    return warn("tun",
                fmt::format("/dev/net/tun: {}; bridge and nat networks need it",
                            std::generic_category().message(errno)),
                "sudo modprobe tun");
}

Finding check_space(const Paths& paths) {
    struct statvfs disk {};
    fs::path folder = paths.data;
    while (!fs::exists(folder)) {
        folder = folder.parent_path();
    }
    ::statvfs(folder.c_str(), &disk);
    const std::uint64_t free = std::uint64_t{disk.f_bavail} * disk.f_frsize;
    const std::string message =
        fmt::format("{} are free for VMs in {}", human_size(free), paths.data.string());
    const std::string hint = "free some space, or move the folder to a larger disk and link to it";
    if (free < std::uint64_t{512} << 20U) {
        return fail("space", "only " + message, hint);
    }
    return free < std::uint64_t{5} << 30U ? warn("space", "only " + message, hint) : good("space", message);
}

Finding check_user_namespaces() {
    const bool off = kernel_says("/proc/sys/kernel/unprivileged_userns_clone") == "0" ||
                     kernel_says("/proc/sys/user/max_user_namespaces") == "0";
    return off ? fail("userns", "user namespaces are off, and the sandbox of every VM needs them",
                      "sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000")
               : good("userns", "user namespaces are on: VMs are sandboxed");
}

Finding check_controllers() {
    const std::string own = kernel_says("/proc/self/cgroup");
    const std::string controllers = kernel_says(
        "/sys/fs/cgroup" + own.substr(std::min(own.size(), own.rfind(':') + 1)) + "/../cgroup.controllers");
    const bool limits =
        controllers.find("memory") != std::string::npos && controllers.find("pids") != std::string::npos;
    return limits ? good("cgroup", "limits of memory and tasks are enforced")
                  : warn("cgroup",
                         "limits of memory and tasks are not enforced: the controllers are not delegated",
                         "boot with cgroup v2, and see systemd.resource-control(5), Delegate=");
}

Finding check_builds() {
    try {
        require_build_needs();
        return good("build", "images can be built: `capsulctl image build`");
    } catch (const Error& error) {
        return warn("build", std::string("`capsulctl image build` does not work: ") + error.what(),
                    error.hint());
    }
}

Finding check_socket(SystemdClient& systemd) {
    try {
        const ServiceStatus status = systemd.status("capsuld.socket");
        if (status.active_state == "active") {
            return good("socket", "capsuld.socket is active: capsuld starts on the first call");
        }
    } catch (const Error&) {
        // Told by check_manager already.
    }
    return warn("socket", "capsuld.socket is not active: capsuld will not start by itself",
                "systemctl --user enable --now capsuld.socket");
}

} // namespace

HostInfo HostService::show() const {
    return {CAPSUL_VERSION, "v1", user_name()};
}

std::vector<Finding> HostService::doctor() {
    std::vector<Finding> findings{check_manager(systemd_),
                                  check_socket(systemd_),
                                  check_linger(),
                                  check_program("qemu", "qemu-system-x86_64", "qemu-system-x86"),
                                  check_program("qemu-img", "qemu-img", "qemu-utils"),
                                  check_kvm(paths_),
                                  check_user_namespaces(),
                                  check_controllers(),
                                  check_tun(),
                                  check_space(paths_),
                                  check_builds()};
    std::vector<NetworkRecord> networks;
    for (const Network& network : networks_.list()) {
        if (network.spec) {
            networks.push_back(*network.spec);
        }
    }
    std::ranges::move(examine_networks(networks_.helper(), user_name(), networks,
                                       ask_packet_filter(systemd_, paths_.runtime)),
                      std::back_inserter(findings));
    return findings;
}

} // namespace capsul
