#include "lib/paths.hpp"

#include "lib/error.hpp"

#include <cstdlib>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): read once, before threads
    return value == nullptr ? "" : value;
}

/// An absolute folder from the environment, or the default; relative values are to be ignored (XDG base dir
/// spec).
fs::path folder_or(const char* variable, const fs::path& otherwise) {
    const fs::path path = environment(variable);
    return path.is_absolute() ? path : otherwise;
}

fs::path checked_runtime() {
    const fs::path path = environment("XDG_RUNTIME_DIR");
    struct stat status {};
    if (!path.is_absolute() || ::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
        throw Error(
            ErrorCode::not_capable, "XDG_RUNTIME_DIR names no folder",
            "log in through a session with systemd (ssh, or `machinectl shell USER@`), not through su");
    }
    if (status.st_uid != ::geteuid() || (status.st_mode & 077U) != 0) {
        throw Error(ErrorCode::not_capable, path.string() + ": is not a folder of this user alone",
                    "unset XDG_RUNTIME_DIR's override, or log in anew");
    }
    return path;
}

} // namespace

Paths Paths::from_environment() {
    const fs::path home = environment("HOME");
    if (!home.is_absolute()) {
        throw Error(ErrorCode::not_capable, "HOME names no folder", "log in anew, or set HOME");
    }
    const fs::path config = folder_or("XDG_CONFIG_HOME", home / ".config");
    return {.data = folder_or("XDG_DATA_HOME", home / ".local/share") / "capsul",
            .state = folder_or("XDG_STATE_HOME", home / ".local/state") / "capsul",
            .config = config / "capsul",
            .units = config / "systemd/user",
            .runtime = checked_runtime()};
}

fs::path client_socket() {
    if (const fs::path chosen = environment("CAPSUL_SOCKET"); !chosen.empty()) {
        return chosen;
    }
    const fs::path runtime = environment("XDG_RUNTIME_DIR");
    const fs::path own = runtime / "capsul/capsuld.sock";
    const fs::path shared = "/run/capsul/capsuld.sock";
    std::error_code ignored;
    const bool use_shared = runtime.empty() || (!fs::exists(own, ignored) && fs::exists(shared, ignored));
    return use_shared ? shared : own;
}

} // namespace capsul
