#include "cli/host_checks.hpp"

#include "lib/paths.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fmt/format.h>
#include <pwd.h>
#include <system_error>
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
            "systemd", Severity::failure, "there is no systemd user manager (systemd --user)",
            "loginctl enable-linger; then log in anew (Debian package: dbus-user-session, libpam-systemd)"};
    }
    return {"systemd", Severity::ok, "systemd --user runs", ""};
}

Finding check_socket() {
    const fs::path own = fs::path(environment("HOME")) / ".config";
    const fs::path config =
        environment("XDG_CONFIG_HOME").empty() ? own : fs::path(environment("XDG_CONFIG_HOME"));
    const std::array<fs::path, 4> folders{config / "systemd/user", "/etc/systemd/user",
                                          "/usr/local/lib/systemd/user", "/usr/lib/systemd/user"};
    for (const fs::path& folder : folders) {
        if (is_there(folder / "capsuld.socket")) {
            return {"socket", Severity::ok, (folder / "capsuld.socket").string(), ""};
        }
    }
    return {"socket", Severity::failure, "capsuld.socket is not installed as a user unit",
            "cmake --install BUILD-FOLDER, then systemctl --user daemon-reload"};
}

std::string user_name() {
    const passwd* user = ::getpwuid(::geteuid()); // NOLINT(concurrency-mt-unsafe): one thread asks
    return user == nullptr ? environment("USER") : user->pw_name;
}

Finding check_linger() {
    const std::string name = user_name();
    if (!is_there(fs::path("/var/lib/systemd/linger") / name)) {
        return {"linger", Severity::warning,
                fmt::format("VMs stop when the last session of {} ends, and do not start at boot", name),
                "sudo loginctl enable-linger " + name};
    }
    return {"linger", Severity::ok, "VMs start at boot and outlive your sessions: linger is on for " + name,
            ""};
}

Finding check_program(const char* check, const char* name, const char* package) {
    const std::string folders = environment("PATH");
    std::string_view path = folders;
    while (!path.empty()) {
        const auto end = std::min(path.find(':'), path.size());
        const std::string program = fmt::format("{}/{}", path.substr(0, end), name);
        if (::access(program.c_str(), X_OK) == 0) {
            return {check, Severity::ok, program, ""};
        }
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return {check, Severity::failure, fmt::format("{} is not installed", name),
            fmt::format("sudo apt-get install {}", package)};
}

Finding check_kvm() {
    if (::access("/dev/kvm", R_OK | W_OK) == 0) {
        return {"kvm", Severity::ok, "/dev/kvm can be used (capsuld checks whether it really works)", ""};
    }
    const bool missing = errno == ENOENT;
    return {"kvm", Severity::warning,
            fmt::format("guests are emulated, which is slow: /dev/kvm: {}",
                        std::generic_category().message(errno)),
            missing ? "turn on virtualisation in the firmware, or nested virtualisation on the outer host"
                    : fmt::format("sudo usermod -aG kvm {0}; then reboot, or `sudo loginctl terminate-user "
                                  "{0}`, which ends your "
                                  "sessions and VMs: the user manager keeps its old groups",
                                  user_name())};
}

Finding check_tun() {
    if (::access("/dev/net/tun", R_OK | W_OK) == 0) {
        return {"tun", Severity::ok, "/dev/net/tun can be opened", ""};
    }
    return {"tun", Severity::warning,
            fmt::format("/dev/net/tun: {}; bridge and nat networks need it",
                        std::generic_category().message(errno)),
            "sudo modprobe tun"};
}

} // namespace

std::vector<Finding> check_host() {
    return {check_runtime(),
            check_manager(),
            check_socket(),
            check_linger(),
            check_program("qemu", "qemu-system-x86_64", "qemu-system-x86"),
            check_program("qemu-img", "qemu-img", "qemu-utils"),
            check_kvm(),
            check_tun()};
}

} // namespace capsul::cli
