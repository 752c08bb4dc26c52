#include "daemon/dhcp/bridge.hpp"

#include "daemon/dhcp/fail.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <net/if.h>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

using namespace std::chrono_literals;

constexpr int attempts = 100;
constexpr auto look_again = 100ms;

Ip6 parse_hex(const std::string& digits) {
    Ip6 address{};
    for (std::size_t i = 0; i < address.size(); ++i) {
        address[i] = static_cast<std::uint8_t>(std::stoul(digits.substr(i * 2, 2), nullptr, 16));
    }
    return address;
}

/// /proc/net/if_inet6: address, index, length, scope, flags, name.
std::optional<Ip6> find_link_local(const std::string& interface) {
    std::ifstream lines("/proc/self/net/if_inet6");
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string address, index, length, scope, flags, name;
        words >> address >> index >> length >> scope >> flags >> name;
        if (name == interface && scope == "20") {
            return parse_hex(address);
        }
    }
    return std::nullopt;
}

} // namespace

Mac mac_of(const std::string& interface) {
    ifreq request{};
    interface.copy(request.ifr_name, IFNAMSIZ - 1);
    const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool known = any >= 0 && ::ioctl(any, SIOCGIFHWADDR, &request) == 0;
    const int error = errno;
    ::close(any);
    if (!known) {
        fail(error, "bridge " + interface);
    }
    Mac mac{};
    std::copy_n(request.ifr_hwaddr.sa_data, mac.size(), mac.begin());
    return mac;
}

Ip6 link_local_of(const std::string& interface) {
    for (int i = 0; i < attempts; ++i) {
        if (const auto address = find_link_local(interface)) {
            return *address;
        }
        std::this_thread::sleep_for(look_again);
    }
    throw std::runtime_error("bridge " + interface +
                             " has no IPv6 link-local address: is IPv6 switched off on this host?");
}

} // namespace capsul::dhcp
