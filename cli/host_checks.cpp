#include "cli/host_checks.hpp"

#include "lib/paths.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets it
    return value == nullptr ? "" : value;
}

bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::exists(path, ignored);
}

Finding check_runtime() {
    const std::string folder = environment("XDG_RUNTIME_DIR");
    if (folder.empty() || !is_there(folder)) {
        return {"runtime-dir", Severity::failure,
                "XDG_RUNTIME_DIR names no folder: this is no systemd session",
                "log in by ssh or on a console, or use `machinectl shell USER@`; not su or sudo"};
    }
    return {"runtime-dir", Severity::ok, folder, ""};
}

Finding check_manager() {
    const fs::path socket = fs::path(environment("XDG_RUNTIME_DIR")) / "systemd/private";
    if (!is_there(socket)) {
        return {
            "user-manager", Severity::failure, "there is no systemd user manager (systemd --user)",
            "loginctl enable-linger; then log in anew (Debian package: dbus-user-session, libpam-systemd)"};
    }
    return {"user-manager", Severity::ok, "systemd --user runs", ""};
}

Finding check_units() {
    const fs::path own = fs::path(environment("HOME")) / ".config";
    const fs::path config =
        environment("XDG_CONFIG_HOME").empty() ? own : fs::path(environment("XDG_CONFIG_HOME"));
    const std::array<fs::path, 4> folders{config / "systemd/user", "/etc/systemd/user",
                                          "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"};
    for (const fs::path& folder : folders) {
        if (is_there(folder / "capsuld.socket")) {
            return {"units", Severity::ok, (folder / "capsuld.socket").string(), ""};
        }
    }
    return {"units", Severity::failure, "capsuld.socket is not installed as a user unit",
            "cmake --install BUILD-FOLDER, then systemctl --user daemon-reload"};
}

Finding check_linger() {
    const passwd* user = ::getpwuid(::geteuid()); // NOLINT(concurrency-mt-unsafe): one thread asks
    const std::string name = user == nullptr ? environment("USER") : user->pw_name;
    if (!is_there(fs::path("/var/lib/systemd/linger") / name)) {
        return {"linger", Severity::warning, "VMs stop when you log out, and do not start at boot",
                "loginctl enable-linger"};
    }
    return {"linger", Severity::ok, fmt::format("{} lingers", name), ""};
}

Finding check_qemu() {
    const std::string folders = environment("PATH");
    std::string_view path = folders;
    while (!path.empty()) {
        const auto end = std::min(path.find(':'), path.size());
        const std::string program = fmt::format("{}/qemu-system-x86_64", path.substr(0, end));
        if (::access(program.c_str(), X_OK) == 0) {
            return {"qemu", Severity::ok, program, ""};
        }
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return {"qemu", Severity::failure, "qemu-system-x86_64 is not installed",
            "sudo apt install qemu-system-x86 qemu-utils"};
}

Finding check_kvm() {
    if (::access("/dev/kvm", R_OK | W_OK) == 0) {
        return {"kvm", Severity::ok, "/dev/kvm can be used (capsuld checks whether it really works)", ""};
    }
    const bool missing = errno == ENOENT;
    return {
        "kvm", Severity::warning,
        missing ? "/dev/kvm is missing: guests are emulated, and slow" : "/dev/kvm may not be used by you",
        missing ? "switch on virtualisation in the firmware"
                : "sudo usermod -aG kvm \"$USER\"; then reboot, or `sudo loginctl terminate-user \"$USER\"`, "
                  "which ends your sessions and VMs: the user manager keeps its old groups"};
}

} // namespace

std::vector<Finding> check_host() {
    return {check_runtime(), check_manager(), check_units(), check_linger(), check_qemu(), check_kvm()};
}

} // namespace capsul::cli
