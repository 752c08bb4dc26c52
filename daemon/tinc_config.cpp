#include "daemon/tinc_config.hpp"

#include <charconv>
#include <fmt/format.h>
#include <system_error>

namespace capsul {
namespace {

// By default tinc authenticates a packet with four bytes. Pings: a host that is silent is given up within 12
// seconds, and called every 5.
constexpr std::string_view fixed = R"(Mode = switch
DeviceType = tap
Device = /dev/net/tun
AddressFamily = any
Cipher = aes-256-cbc
Digest = sha512
MACLength = 32
ReplayWindow = 64
KeyExpire = 3600
PingInterval = 5
PingTimeout = 3
MaxTimeout = 5
)";

std::string address_lines(const std::vector<VpnAddress>& addresses) {
    std::string lines;
    for (const VpnAddress& address : addresses) {
        lines += fmt::format("Address = {} {}\n", address.host(), address.port());
    }
    return lines;
}

} // namespace

std::string tinc_config(const NetworkRecord& network, const std::vector<VpnNode>& peers) {
    const VpnRecord& vpn = *network.vpn;
    std::string text =
        fmt::format("# tinc of the network {}. capsul writes it anew when a host comes or goes.\n"
                    "Name = {}\nInterface = {}\nPort = {}\n",
                    network.name.to_string(), vpn.node.to_string(), vpn.trunk.to_string(), vpn.port);
    text += fixed;
    for (const VpnNode& peer : peers) {
        if (!peer.addresses.empty()) {
            text += fmt::format("ConnectTo = {}\n", peer.name.to_string());
        }
    }
    return text;
}

std::optional<std::uint16_t> tinc_port(std::string_view config) {
    constexpr std::string_view key = "\nPort = ";
    const auto at = config.find(key);
    std::uint16_t port = 0;
    if (at == std::string_view::npos) {
        return std::nullopt;
    }
    const std::string_view rest = config.substr(at + key.size());
    return std::from_chars(rest.data(), rest.data() + rest.size(), port).ec == std::errc()
               ? std::optional(port)
               : std::nullopt;
}

std::string tinc_host(const VpnNode& peer) {
    return address_lines(peer.addresses) + peer.key.to_pem();
}

std::string tinc_own_host(const VpnRecord& vpn) {
    return address_lines(vpn.addresses) + vpn.key.to_pem();
}

} // namespace capsul
