#include "daemon/host_dns.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <sstream>

namespace capsul {
namespace {

bool is_loopback(const IpAddress& address) {
    static const Cidr v4 = Cidr::parse("127.0.0.0/8");
    static const Cidr v6 = Cidr::parse("::1/128");
    return v4.contains(address) || v6.contains(address);
}

} // namespace

std::vector<IpAddress> parse_name_servers(std::string_view resolv_conf) {
    std::vector<IpAddress> servers;
    std::istringstream lines{std::string(resolv_conf)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string keyword;
        std::string address;
        words >> keyword >> address;
        if (keyword != "nameserver") {
            continue;
        }
        try {
            const IpAddress server = IpAddress::parse(address);
            if (!is_loopback(server)) {
                servers.push_back(server);
            }
        } catch (const Error&) {
            // One with a zone (fe80::1%eth0) is of this host alone.
        }
    }
    return servers;
}

std::vector<IpAddress> guest_dns(const NetworkRecord& network) {
    return network.dns.empty() ? host_dns() : network.dns;
}

std::vector<IpAddress> host_dns() {
    for (const char* file : {"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}) {
        try {
            auto servers = parse_name_servers(read_file(file));
            if (!servers.empty()) {
                return servers;
            }
        } catch (const Error&) {
            // Not there: the next.
        }
    }
    return {};
}

} // namespace capsul
