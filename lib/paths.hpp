// Where things are on this host: the XDG folders of the user.
#pragma once

#include "lib/name.hpp"

#include <filesystem>
#include <string>

namespace capsul {

namespace fs = std::filesystem;

/// The folders of one capsuld. From XDG_DATA_HOME, XDG_STATE_HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR and HOME.
struct Paths {
    fs::path data;    ///< ~/.local/share/capsul
    fs::path state;   ///< ~/.local/state/capsul
    fs::path config;  ///< ~/.config/capsul
    fs::path units;   ///< ~/.config/systemd/user
    fs::path runtime; ///< $XDG_RUNTIME_DIR

    /// Throws Error (not_capable) when HOME or XDG_RUNTIME_DIR is missing, relative, or the latter is not a
    /// folder of this user alone.
    [[nodiscard]] static Paths from_environment();

    [[nodiscard]] fs::path vms() const { return data / "vms"; }
    [[nodiscard]] fs::path vm(const Name& name) const { return vms() / name.to_string(); }
    [[nodiscard]] fs::path networks() const { return data / "networks"; }
    [[nodiscard]] fs::path network(const Name& name) const { return networks() / name.to_string(); }
    [[nodiscard]] fs::path images() const { return data / "images"; }
    [[nodiscard]] fs::path aliases() const { return images() / "aliases"; }
    [[nodiscard]] fs::path uploads() const { return data / "uploads"; }
    /// What is downloaded from elsewhere, in part too; on the file system of the images.
    [[nodiscard]] fs::path fetches() const { return data / "fetches"; }
    /// What is built, on its way to be images.
    [[nodiscard]] fs::path builds() const { return data / "builds"; }
    [[nodiscard]] fs::path downloads() const { return data / "downloads"; }
    /// Where a running VM's sockets are; systemd makes and removes it with the unit.
    [[nodiscard]] fs::path vm_runtime(const Name& name) const {
        return runtime / "capsul/vms" / name.to_string();
    }
    [[nodiscard]] fs::path socket() const { return runtime / "capsul/capsuld.sock"; }
    [[nodiscard]] fs::path systemd_socket() const { return runtime / "systemd/private"; }
    [[nodiscard]] fs::path wants() const { return units / "default.target.wants"; }
};

/// The daemon's socket as a client finds it: $CAPSUL_SOCKET, else $XDG_RUNTIME_DIR/capsul/capsuld.sock, else
/// (when that is not there and this is, or XDG_RUNTIME_DIR is not set) /run/capsul/capsuld.sock.
[[nodiscard]] fs::path client_socket();

} // namespace capsul
