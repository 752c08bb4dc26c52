#include "daemon/network_doctor.hpp"

#include "daemon/dhcp_unit.hpp"
#include "daemon/net_grants.hpp"
#include "daemon/netlink.hpp"
#include "daemon/network_dhcp.hpp"
#include "daemon/network_vpn.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iterator>
#include <set>
#include <string_view>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

Finding good(const char* check, std::string message) {
    return {check, Severity::ok, std::move(message), {}};
}
Finding warn(const char* check, std::string message, std::string hint) {
    return {check, Severity::warning, std::move(message), std::move(hint)};
}
Finding fail(const char* check, std::string message, std::string hint) {
    return {check, Severity::failure, std::move(message), std::move(hint)};
}

bool is_on(const char* sysctl) {
    try {
        return read_file(fs::path("/proc/sys") / sysctl).starts_with('1');
    } catch (const Error&) {
        return false;
    }
}

bool in_group(gid_t group) {
    std::array<gid_t, 1024> groups{};
    const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
    return ::getegid() == group || std::find(groups.begin(), groups.begin() + std::max(count, 0), group) !=
                                       groups.begin() + std::max(count, 0);
}

/// The group of the helper's file may run it, and nobody else.
Finding check_helper(const fs::path& helper, const std::string& user) {
    struct stat status {};
    if (::stat(helper.c_str(), &status) != 0) {
        return fail("net-helper", helper.string() + " is missing", "install capsul anew");
    }
    const bool has_capability = ::getxattr(helper.c_str(), "security.capability", nullptr, 0) > 0;
    if (!has_capability) {
        return fail("net-helper",
                    fmt::format("{} has no capability; dpkg, cp, tar and rsync drop it", helper.string()),
                    fmt::format("sudo setcap cap_net_admin=ep {}", helper.string()));
    }
    if (!in_group(status.st_gid)) {
        return fail(
            "net-helper",
            fmt::format("{} is not in the group of {}, or was not yet when its user manager started", user,
                        helper.string()),
            fmt::format("sudo usermod -aG capsul-net {0}; then `sudo systemctl restart user@{1}.service`, "
                        "which ends the sessions' services and VMs of {0}",
                        user, ::getuid()));
    }
    return good("net-helper", helper.string() + " has its capability, and you may run it");
}

Finding check_policy(const fs::path& helper) {
    try {
        const NetGrants grants = read_net_grants(helper);
        return good("net-policy",
                    fmt::format("/etc/capsul/net.policy grants interfaces named {}*", grants.prefix));
    } catch (const Error& error) {
        return fail("net-policy", error.what(), error.hint());
    }
}

Finding check_forwarding(bool ipv6) {
    const char* const check = ipv6 ? "net-forwarding6" : "net-forwarding";
    const char* const sysctl = ipv6 ? "net/ipv6/conf/all/forwarding" : "net/ipv4/ip_forward";
    if (is_on(sysctl)) {
        return good(check, fmt::format("this host forwards IPv{}", ipv6 ? 6 : 4));
    }
    return fail(
        check,
        fmt::format("this host does not forward IPv{}: guests of nat networks get nowhere", ipv6 ? 6 : 4),
        ipv6 ? "sudo sysctl -w net.ipv6.conf.all.forwarding=1 (and accept_ra=2 where the host gets its own "
               "address by router advertisement); in /etc/sysctl.d to keep it"
             : "sudo sysctl -w net.ipv4.ip_forward=1; in /etc/sysctl.d to keep it");
}

/// The interfaces that the filter has forgotten.
std::string cut_off(const std::vector<NetworkRecord>& networks, const FilterFacts& filter) {
    std::string names;
    const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
    for (const NetworkRecord& network : networks) {
        const auto found = filter.bridges.find(network.bridge.to_string());
        const bool is_list = network.egress.kind() == Egress::Kind::list;
        const std::string wanted =
            (is_list ? "list" : network.egress.to_string()) + (network.isolate ? " yes" : " no");
        if (found != filter.bridges.end() && found->second != wanted) {
            add(found->first);
        }
    }
    for (const auto& [tap, ips] : filter.ips) {
        if (ips == "-") {
            add(tap);
        }
    }
    return names;
}

Finding check_filter(const std::vector<NetworkRecord>& networks, const std::optional<FilterFacts>& filter) {
    constexpr const char* open = "there is no NAT, and guests can forge addresses";
    if (!fs::exists("/run/capsul-nft")) {
        return fail("net-filter", fmt::format("capsul's packet filter is not loaded: {}", open),
                    "sudo systemctl enable --now capsul-nft.service");
    }
    if (!filter || filter->says("?")) {
        return warn("net-filter", "capsul-nft.service is active; whether its tables are there cannot be told",
                    "journalctl --user --unit=capsul-filter-list.service");
    }
    if (filter->says("off")) {
        return fail(
            "net-filter",
            fmt::format("the tables of capsul-nft.service are gone, as after `nft flush ruleset`: {}", open),
            "sudo systemctl reload capsul-nft.service");
    }
    if (const std::string names = cut_off(networks, *filter); !names.empty()) {
        return fail("net-filter",
                    "the packet filter was loaded anew and does not know these interfaces: " + names,
                    "systemctl --user reload 'capsul-net-*.service'; systemctl --user reload "
                    "'capsul-tap-*.service'");
    }
    return good("net-filter", filter->ips.empty() && filter->bridges.empty()
                                  ? "capsul-nft.service is active; there is no interface yet for it to guard"
                                  : "capsul's packet filter is loaded and knows your interfaces");
}

Finding check_link_file() {
    for (const char* folder : {"/etc", "/usr/lib", "/usr/local/lib"}) {
        if (fs::exists(fs::path(folder) / "systemd/network/70-capsul.link")) {
            return good("net-link", "udev leaves the addresses of capsul's interfaces alone");
        }
    }
    return warn("net-link",
                "udev may give interfaces of capsul's other MAC addresses: 70-capsul.link is missing",
                "install capsul anew, with its files in lib/systemd/network");
}

bool says_line(const char* file, std::string_view line) {
    try {
        return ("\n" + read_file(file)).find("\n" + std::string(line)) != std::string::npos;
    } catch (const Error&) {
        return false;
    }
}

/// The bridges whose guests another firewall can cut off: what a nat network sends is forwarded by this host,
/// and what crosses a bridge is where br_netfilter is in use.
std::vector<std::string> bridges_at_risk(const std::vector<NetworkRecord>& networks) {
    const bool is_filtered = is_on("net/bridge/bridge-nf-call-iptables");
    std::set<std::string> bridges;
    for (const NetworkRecord& network : networks) {
        if (network.type == NetworkType::nat || is_filtered) {
            bridges.insert(network.bridge.to_string());
        }
    }
    return {bridges.begin(), bridges.end()};
}

/// `form` with each bridge's name in place of {0}.
std::string for_each_bridge(const std::vector<std::string>& bridges, const char* form) {
    std::vector<std::string> commands;
    std::ranges::transform(bridges, std::back_inserter(commands), [&](const std::string& bridge) {
        return fmt::format(fmt::runtime(form), bridge);
    });
    return fmt::format("{}", fmt::join(commands, "; "));
}

/// Those whose rules drop what they do not know. An ordinary user cannot see the rules themselves.
Finding check_foreign_firewall(const std::vector<NetworkRecord>& networks) {
    const auto bridges = bridges_at_risk(networks);
    if (bridges.empty()) {
        return good("net-firewall", "no network here depends on other firewalls");
    }
    if (find_link("docker0")) {
        return warn("net-firewall", "Docker drops what is forwarded for others, unless its rules were told",
                    for_each_bridge(bridges, "sudo iptables -I DOCKER-USER -i {0} -j ACCEPT; "
                                             "sudo iptables -I DOCKER-USER -o {0} -j ACCEPT"));
    }
    if (says_line("/etc/ufw/ufw.conf", "ENABLED=yes") &&
        says_line("/etc/default/ufw", "DEFAULT_FORWARD_POLICY=\"DROP\"")) {
        return warn(
            "net-firewall", "ufw drops what is forwarded, unless its rules were told",
            for_each_bridge(bridges, "sudo ufw route allow in on {0}; sudo ufw route allow out on {0}"));
    }
    if (fs::exists("/run/firewalld.pid") || fs::exists("/run/firewalld")) {
        return warn(
            "net-firewall", "firewalld drops what comes from interfaces of no zone, unless it was told",
            for_each_bridge(bridges, "sudo firewall-cmd --permanent --zone=trusted --add-interface={0}") +
                "; sudo firewall-cmd --reload");
    }
    return good("net-firewall", "no other firewall is known to be in the way");
}

Finding check_dnsmasq(const NetworkRecord& network) {
    if (has_dnsmasq()) {
        return good("net-dhcp", about_network(network.name, "dnsmasq is installed"));
    }
    return fail("net-dhcp",
                about_network(network.name, fmt::format("no {}, since dnsmasq is not installed",
                                                        network.dhcp ? "DHCP" : "names")),
                "sudo apt install dnsmasq-base");
}

Finding check_tinc(const NetworkRecord& network) {
    if (has_tincd()) {
        return good("net-vpn", about_network(network.name, "tinc is installed"));
    }
    return fail("net-vpn",
                about_network(network.name, "no tunnel to other hosts, since tinc is not installed"),
                "sudo apt install tinc");
}

Finding check_bridge(const NetworkRecord& network) {
    const std::string bridge = network.bridge.to_string();
    const auto link = find_link(bridge);
    if (link && link->kind == "bridge") {
        return good("net-bridge", about_network(network.name, fmt::format("bridge {} is there", bridge)));
    }
    return fail("net-bridge", about_network(network.name, fmt::format("bridge {} does not exist", bridge)),
                "the administrator makes it, with systemd-networkd or in /etc/network/interfaces");
}

bool was_ever_set_up(const fs::path& helper) {
    return fs::exists("/etc/capsul/net.policy") ||
           ::getxattr(helper.c_str(), "security.capability", nullptr, 0) > 0;
}

} // namespace

std::vector<Finding> examine_networks(const fs::path& helper, const std::string& user,
                                      const std::vector<NetworkRecord>& networks,
                                      const std::optional<FilterFacts>& filter) {
    if (networks.empty() && !was_ever_set_up(helper)) {
        return {warn("net-helper", "bridge and nat networks are not set up on this host; `user` works",
                     fmt::format("an administrator runs `{}` once", host_setup_command(helper)))};
    }
    std::vector<Finding> findings{check_helper(helper, user),      check_policy(helper),
                                  check_filter(networks, filter),  check_forwarding(false),
                                  check_forwarding(true),          check_link_file(),
                                  check_foreign_firewall(networks)};
    for (const NetworkRecord& network : networks) {
        if (network.type == NetworkType::bridge) {
            findings.push_back(check_bridge(network));
        }
        if (has_dhcp_unit(network)) {
            findings.push_back(check_dnsmasq(network));
        }
        if (network.vpn) {
            findings.push_back(check_tinc(network));
        }
    }
    return findings;
}

} // namespace capsul
