// capsuld.toml: see capsuld.toml(5).
#pragma once

#include "lib/image_source.hpp"
#include "lib/paths.hpp"
#include "lib/size.hpp"
#include "lib/toml.hpp"

#include <cstdint>
#include <string>

namespace capsul {

struct ServerConfig {
    std::string group; ///< whose members may use the socket besides the owner and root; empty = nobody
    int threads = 4;   ///< that handle requests
    int connections = 256;
    int connections_per_user = 64;
    Bytes max_body{std::uint64_t{1} << 20U}; ///< of a JSON request

    static constexpr auto fields() {
        return field_list(optional("group", &ServerConfig::group),
                          optional("threads", &ServerConfig::threads),
                          optional("connections", &ServerConfig::connections),
                          optional("connections_per_user", &ServerConfig::connections_per_user),
                          optional("max_body", &ServerConfig::max_body));
    }
};

struct VmConfig {
    std::uint16_t ssh_port_first = 22000; ///< the range from which VMs get the host port of their ssh server
    std::uint16_t ssh_port_last = 22999;
    Duration start_timeout{std::chrono::seconds(30)}; ///< until QEMU answers
    Bytes serial_log{std::uint64_t{4} << 20U};        ///< a longer serial.log loses its beginning

    static constexpr auto fields() {
        return field_list(optional("ssh_port_first", &VmConfig::ssh_port_first),
                          optional("ssh_port_last", &VmConfig::ssh_port_last),
                          optional("start_timeout", &VmConfig::start_timeout),
                          optional("serial_log", &VmConfig::serial_log));
    }
};

struct ImageConfig {
    Bytes max_size{std::uint64_t{2} << 40U}; ///< of a disk as the guest sees it, and of an upload
    std::vector<ImageSourceConfig> source;   ///< beside those that are built in

    static constexpr auto fields() {
        return field_list(optional("max_size", &ImageConfig::max_size),
                          optional("source", &ImageConfig::source));
    }
};

struct VpnConfig {
    std::uint16_t port_first = 11655; ///< the range from which VPNs get the port that others reach them at
    std::uint16_t port_last = 11754;
    static constexpr auto fields() {
        return field_list(optional("port_first", &VpnConfig::port_first),
                          optional("port_last", &VpnConfig::port_last));
    }
};

struct Config {
    ServerConfig server;
    VmConfig vm;
    ImageConfig image;
    VpnConfig vpn;

    static constexpr auto fields() {
        return field_list(optional("server", &Config::server), optional("vm", &Config::vm),
                          optional("image", &Config::image), optional("vpn", &Config::vpn));
    }
};

/// /etc/capsul/capsuld.toml, then the user's own over it, key by key; both may be missing. Of lists of things
/// with names, such as the sources of images, those of one name are one. Throws Error that names file and
/// line for an unknown key, a wrong type, or a file that others may write.
[[nodiscard]] Config load_config(const Paths& paths);

/// The same from files named by the caller, the later over the earlier.
[[nodiscard]] Config load_config_files(const std::vector<std::filesystem::path>& files);

} // namespace capsul
