#include "daemon/network_script.hpp"

#include "daemon/shell.hpp"
#include "daemon/unit_file.hpp"

#include <fmt/format.h>
#include <iterator>
#include <sstream>

namespace capsul {
namespace {

std::string head(const std::string& what, const std::filesystem::path& helper) {
    return fmt::format(
        "#!/bin/sh\n# {}, written by capsul. To run it by hand, again and again, does no harm.\n"
        "helper={}\n",
        what, quote_shell_word(helper.string()));
}

/// A line that runs the helper.
std::string helper_line(const std::vector<std::string>& arguments) {
    std::string line = "\"$helper\"";
    for (const std::string& argument : arguments) {
        line += " " + quote_shell_word(argument);
    }
    return line;
}

/// Tries every line and exits with the first error.
std::string try_all(const std::vector<std::string>& lines) {
    std::string text = "failed=0\n";
    for (const std::string& line : lines) {
        text += line + " || failed=$((failed ? failed : $?))\n";
    }
    return text + "exit \"$failed\"\n";
}

/// At boot the administrator's bridge may come later than this.
std::string await_bridge(const InterfaceName& bridge) {
    return fmt::format(R"(set -eu
bridge={}
waited=0
until [ -d "/sys/class/net/$bridge/bridge" ]; do
	if [ "$waited" -ge 30 ]; then
		echo "bridge $bridge does not exist" >&2
		exit 4 # as capsul-net has it for what the host lacks
	fi
	sleep 1
	waited=$((waited + 1))
done
)",
                       quote_shell_word(bridge.to_string()));
}

std::vector<std::string> egress_arguments(const NetworkRecord& network) {
    std::vector<std::string> arguments{"egress", network.bridge.to_string()};
    if (network.isolate) {
        arguments.emplace_back("--isolated");
    }
    if (network.egress.kind() != Egress::Kind::list) {
        arguments.push_back(network.egress.to_string());
        return arguments;
    }
    arguments.emplace_back("list");
    for (const EgressRule& rule : network.egress.rules()) {
        std::string item = rule.destination().to_string();
        if (!rule.protocol().empty()) {
            item += fmt::format(",{},{}-{}", rule.protocol(), rule.first_port(), rule.last_port());
        }
        arguments.push_back(item);
    }
    return arguments;
}

std::string bridge_address(const IpAddress& gateway, const Cidr& subnet) {
    return fmt::format("{}/{}", gateway.to_string(), subnet.length());
}

/// Where it was switched off it is taken away.
std::vector<std::string> dhcp_arguments(const NetworkRecord& network) {
    const std::string tap = network.dhcp_tap->to_string();
    return network.dhcp
               ? std::vector<std::string>{"trunk-add", tap, network.bridge.to_string(), "--no-learning"}
               : std::vector<std::string>{"tap-del", tap};
}

std::string set_up_vpn(const NetworkRecord& network) {
    const VpnRecord& vpn = *network.vpn;
    const std::string bridge = network.bridge.to_string();
    const IpAddress ip = vpn_host_ip(vpn.slice);
    // Nowhere but to where other hosts tell this one what has changed.
    std::vector<std::string> egress{"egress", bridge, "list",
                                    fmt::format("{}/32,tcp,{}", ip.to_string(), vpn_sync_port),
                                    fmt::format("{}/32,udp,{}", ip.to_string(), vpn_sync_port)};
    std::vector<std::vector<std::string>> commands{{"bridge-add", bridge},
                                                   {"addr-add", bridge, bridge_address(ip, *network.subnet)}};
    if (network.subnet6) {
        commands.push_back(
            {"addr-add", bridge, bridge_address(vpn_ip6(*network.subnet6, ip), *network.subnet6)});
    }
    commands.push_back(std::move(egress));
    // Isolated from each other: what answers for names is for this host's guests.
    commands.push_back({"trunk-add", vpn.trunk.to_string(), bridge, "--isolated"});
    commands.push_back({"trunk-add", network.dhcp_tap->to_string(), bridge, "--isolated"});
    std::string text = "set -eu\n";
    for (const auto& command : commands) {
        text += helper_line(command) + "\n";
    }
    return text;
}

std::string set_up_nat(const NetworkRecord& network) {
    const std::string bridge = network.bridge.to_string();
    std::string text = "set -eu\n" + helper_line({"bridge-add", bridge}) + "\n";
    if (network.subnet && network.gateway) {
        text += helper_line({"addr-add", bridge, bridge_address(*network.gateway, *network.subnet)}) + "\n";
    }
    if (network.subnet6 && network.gateway6) {
        text += helper_line({"addr-add", bridge, bridge_address(*network.gateway6, *network.subnet6)}) + "\n";
    }
    text += helper_line(egress_arguments(network)) + "\n";
    if (network.dhcp_tap) {
        text += helper_line(dhcp_arguments(network)) + "\n";
    }
    return text;
}

std::vector<std::string> add_arguments(const TapPlan& tap) {
    std::vector<std::string> arguments{"tap-add", tap.tap.to_string(), tap.bridge.to_string(),
                                       tap.mac.to_string()};
    if (tap.isolated) {
        arguments.emplace_back("--isolated");
    }
    if (tap.any_address) {
        arguments.emplace_back("--any-ip");
    }
    for (const IpAddress& address : tap.addresses) {
        arguments.emplace_back("--ip");
        arguments.push_back(address.to_string());
    }
    return arguments;
}

/// `words` begins with the helper.
TapPlan read_add_arguments(const std::vector<std::string>& words) {
    TapPlan tap{InterfaceName::parse(words[2]),
                InterfaceName::parse(words[3]),
                Mac::parse(words[4]),
                {},
                false,
                false};
    for (std::size_t i = 5; i < words.size(); ++i) {
        if (words[i] == "--ip") {
            tap.addresses.push_back(IpAddress::parse(words.at(++i)));
        }
        tap.any_address = tap.any_address || words[i] == "--any-ip";
        tap.isolated = tap.isolated || words[i] == "--isolated";
    }
    return tap;
}

} // namespace

std::string network_setup(const NetworkRecord& network, const std::filesystem::path& helper) {
    const std::string begin = head("Sets up the network " + network.name.to_string(), helper);
    if (network.type == NetworkType::bridge) {
        return seal(fmt::format("#!/bin/sh\n# Waits for the bridge of the network {}, written by capsul.\n{}",
                                network.name.to_string(), await_bridge(network.bridge)));
    }
    return seal(begin + (network.vpn ? set_up_vpn(network) : set_up_nat(network)));
}

std::string network_teardown(const NetworkRecord& network, const std::filesystem::path& helper) {
    if (network.type == NetworkType::bridge) {
        return seal(
            fmt::format("#!/bin/sh\n# The bridge of the network {} is the administrator's: it stays.\n"
                        "exit 0\n",
                        network.name.to_string()));
    }
    std::vector<std::string> lines;
    if (network.vpn) {
        lines.push_back(helper_line({"tap-del", network.vpn->trunk.to_string()}));
    }
    if (network.dhcp_tap) {
        lines.push_back(helper_line({"tap-del", network.dhcp_tap->to_string()}));
    }
    lines.push_back(helper_line({"bridge-del", network.bridge.to_string()}));
    return seal(head("Takes down the network " + network.name.to_string(), helper) + try_all(lines));
}

std::string tap_setup(const Name& vm, const std::vector<TapPlan>& taps,
                      const std::vector<InterfaceName>& gone, const std::filesystem::path& helper) {
    std::string text = head("Sets up the interfaces of the VM " + vm.to_string(), helper) + "set -eu\n";
    for (const InterfaceName& tap : gone) {
        text += helper_line({"tap-del", tap.to_string()}) + "\n";
    }
    for (const TapPlan& tap : taps) {
        text += helper_line(add_arguments(tap)) + "\n";
    }
    return seal(text);
}

std::vector<TapPlan> read_tap_setup(const std::string& script) {
    std::vector<TapPlan> taps;
    std::istringstream lines(script);
    for (std::string line; std::getline(lines, line);) {
        std::erase(line, '\'');
        std::istringstream words(line);
        const std::vector<std::string> all{std::istream_iterator<std::string>(words), {}};
        if (all.size() >= 5 && all[1] == "tap-add") {
            taps.push_back(read_add_arguments(all));
        }
    }
    return taps;
}

std::string tap_teardown(const Name& vm, const std::vector<TapPlan>& taps,
                         const std::vector<InterfaceName>& gone, const std::filesystem::path& helper) {
    std::vector<std::string> lines;
    for (const InterfaceName& tap : gone) {
        lines.push_back(helper_line({"tap-del", tap.to_string()}));
    }
    for (const TapPlan& tap : taps) {
        lines.push_back(helper_line({"tap-del", tap.tap.to_string()}));
    }
    return seal(head("Takes down the interfaces of the VM " + vm.to_string(), helper) + try_all(lines));
}

} // namespace capsul
