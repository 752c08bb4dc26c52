// capsul-dhcp: ExecStart of the unit of a network's DHCP and names. Runs a server in a network namespace of
// its own, and carries to it what the guests of a bridge ask. Without privilege, and never without the
// sandbox of its unit.
#include "daemon/dhcp/bridge.hpp"
#include "daemon/dhcp/frames.hpp"
#include "daemon/dhcp/interface.hpp"
#include "daemon/dhcp/options.hpp"
#include "daemon/dhcp/relay.hpp"
#include "daemon/dhcp/station.hpp"
#include "daemon/launcher/last_words.hpp"
#include "daemon/launcher/namespaces.hpp"
#include "daemon/launcher/sandbox.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <sched.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

constexpr int wrong_usage = 2;
constexpr int no_sandbox = 78;             // EX_CONFIG (sysexits.h)
constexpr const char* own_name = "guests"; // as the server's configuration has it

bool has_sandbox() {
    launcher::Options walls;
    walls.own_network = true;
    const auto missing = launcher::missing_directives(walls);
    for (const std::string& directive : missing) {
        std::fprintf(stderr, "capsul-dhcp: does not start without its sandbox; not in force: %s\n",
                     directive.c_str());
    }
    return missing.empty();
}

/// Tells the service manager that the unit is up (sd_notify(3)); a file, since no other sockets are in the
/// sandbox.
void tell_ready() {
    const char* const path = std::getenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): one thread
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) {
        return;
    }
    std::strcpy(address.sun_path, path); // NOLINT(clang-analyzer-security.insecureAPI.strcpy): it fits
    constexpr std::string_view message = "READY=1";
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        std::perror("capsul-dhcp: NOTIFY_SOCKET");
        return;
    }
    if (::sendto(fd, message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&address),
                 sizeof address) < 0) {
        std::perror("capsul-dhcp: NOTIFY_SOCKET");
    }
    ::close(fd);
}

/// What the bridge is, the server shall be.
Server look_at_bridge(const Options& options) {
    Server server;
    server.mac = mac_of(options.bridge);
    for (const Prefix& prefix : options.addresses) {
        if (prefix.family == AF_INET6) {
            server.link_local = link_local_of(options.bridge);
            continue;
        }
        Ip4 address{};
        std::copy_n(prefix.bytes.begin(), address.size(), address.begin());
        server.ip4 = address;
    }
    return server;
}

std::vector<Prefix> addresses_of(const Server& server, const Options& options) {
    std::vector<Prefix> addresses = options.addresses;
    if (server.link_local) {
        addresses.push_back({AF_INET6, *server.link_local, 64});
    }
    return addresses;
}

/// Who the server is, and what passes to it and from it.
struct Role {
    Mac mac{};
    std::vector<Prefix> addresses;
    Passage passage;
    Ports ports;
};

/// It stands for the host, and its guests ask it by DHCP.
Role end_of_bridge(const Options& options) {
    const Server server = look_at_bridge(options);
    Passage passage{[server](Frame frame) { return is_request(frame, server); },
                    [server](Frame frame) { return is_answer(frame, server); },
                    [server](Frame frame) { return introduction(frame, server); }};
    const Ports ports{server.ip4 ? server4 : std::uint16_t{0},
                      server.link_local ? server6 : std::uint16_t{0}};
    return {server.mac, addresses_of(server, options), std::move(passage), ports};
}

/// It stands for itself, and is asked for names.
Role host_of_its_own(const Options& options) {
    constexpr std::uint16_t names = 53;
    Station station{*options.mac, options.addresses};
    Ports ports;
    for (const Prefix& prefix : options.addresses) {
        (prefix.family == AF_INET6 ? ports.ip6 : ports.ip4) = names;
    }
    if (ports.ip6 != 0) {
        station.addresses.push_back(link_local_of(station.mac));
    }
    Passage passage{[station](Frame frame) { return is_for(frame, station); },
                    [station](Frame frame) { return is_from(frame, station); },
                    [](Frame) { return std::vector<std::uint8_t>{}; }};
    return {station.mac, station.addresses, std::move(passage), ports};
}

sigset_t block_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGHUP, SIGTERM, SIGINT}) {
        sigaddset(&signals, signal);
    }
    ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    return signals;
}

int run(const Options& options) {
    if (!has_sandbox()) {
        return no_sandbox;
    }
    const sigset_t signals = block_signals();
    Tap trunk(options.trunk);
    const Role role = options.mac ? host_of_its_own(options) : end_of_bridge(options);
    launcher::enter_namespaces(CLONE_NEWNET | CLONE_NEWPID);
    Tap own(own_name);
    set_up_interface(own_name, role.mac, options.mtu, role.addresses);
    const ServerProcess process(options.command, options.read_only, signals);
    launcher::set_capabilities(0);
    return relay(trunk, own, role.passage, role.ports, process, signals, tell_ready);
}

int run_or_explain(const std::vector<std::string>& words) {
    try {
        return run(parse_options(words));
    } catch (const std::invalid_argument& error) {
        std::fprintf(stderr, "capsul-dhcp: %s\n%s", error.what(), usage);
        return wrong_usage;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsul-dhcp: %s\n", error.what());
        return 1;
    }
}

} // namespace
} // namespace capsul::dhcp

int main(int argc, char** argv) {
    const int status = capsul::dhcp::run_or_explain({argv + (argc > 0 ? 1 : 0), argv + argc});
    capsul::launcher::finish_output();
    return status;
}
