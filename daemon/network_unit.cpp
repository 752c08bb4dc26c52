#include "daemon/network_unit.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/unit_file.hpp"
#include "lib/vm.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

/// A VM's own, since it starts with each of them.
constexpr std::string_view start_limit = "StartLimitIntervalSec=60\nStartLimitBurst=10\n";

/// The scripts as a oneshot service. systemd runs ExecStopPost= after a stop and after a start that failed.
std::string service(const std::filesystem::path& setup, const std::filesystem::path& teardown,
                    const std::string& identifier, const std::string& field) {
    const std::string up = quote_exec_word(setup.string());
    return fmt::format(R"(
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={0}
# To set up anew what is missing, without a stop.
ExecReload={0}
ExecStopPost={1}
TimeoutStartSec=60s
TimeoutStopSec=30s
SyslogIdentifier={2}
LogExtraFields={3}
UMask=0077
LimitCORE=0
TasksMax=32
)",
                       up, quote_exec_word(teardown.string()), identifier, field);
}

} // namespace

std::vector<std::string> companion_units(const NetworkRecord& network) {
    std::vector<std::string> units;
    if (network.vpn) {
        units.push_back(vpn_unit_name(network.name));
        units.push_back(peer_unit_name(network.name));
    }
    if (has_dhcp_unit(network)) {
        units.push_back(dhcp_unit_name(network.name));
    }
    return units;
}

std::string network_unit(const NetworkRecord& network, const std::filesystem::path& folder) {
    const std::string& name = network.name.to_string();
    std::string wanted;
    for (const std::string& unit : companion_units(network)) {
        wanted += fmt::format("Wants={}\n", unit);
    }
    return seal(fmt::format(R"(# The network {0}, written by capsul. What it does is in {1}.
[Unit]
Description=Network {0}
Documentation=man:capsulctl-network(1)
# Fills the packet filter's sets again when it was loaded anew.
Wants=capsul-filter.path
{2}{3}{4}
[Install]
WantedBy=default.target
)",
                            name, folder.string(), wanted, start_limit,
                            service(folder / "setup.sh", folder / "teardown.sh", "capsul-net-" + name,
                                    "CAPSUL_NETWORK=" + name)));
}

std::string tap_unit(const Name& vm, const std::vector<Name>& networks, const std::vector<Name>& vpns,
                     const std::filesystem::path& folder) {
    const std::string& name = vm.to_string();
    std::string needs;
    for (const Name& network : networks) {
        needs += fmt::format("Requires={0}\nAfter={0}\n", network_unit_name(network));
    }
    for (const Name& vpn : vpns) {
        needs += fmt::format("Wants={0}\nAfter={0}\n", vpn_unit_name(vpn));
    }
    return seal(fmt::format(R"(# The interfaces of the VM {0}, written by capsul. They come and go with it.
[Unit]
Description=Interfaces of the virtual machine {0}
Documentation=man:capsulctl(1)
{1}StopWhenUnneeded=yes
{2}{3})",
                            name, needs, start_limit,
                            service(folder / "net-setup.sh", folder / "net-teardown.sh", "capsul-tap-" + name,
                                    "CAPSUL_VM=" + name)));
}

} // namespace capsul
