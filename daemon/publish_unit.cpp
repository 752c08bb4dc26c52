#include "daemon/publish_unit.hpp"

#include "daemon/unit_file.hpp"
#include "daemon/unit_sandbox.hpp"
#include "lib/vm.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

std::string listen_line(const PublishedPort& port) {
    return fmt::format(fmt::runtime(port.is_ipv6() ? "{}=[{}]:{}\n" : "{}={}:{}\n"),
                       port.is_udp() ? "ListenDatagram" : "ListenStream", port.address(), port.host_port());
}

std::string start_command(const std::vector<PublishedPort>& ports, const IpAddress& guest,
                          const std::filesystem::path& programs) {
    std::vector<std::string> argv{(programs / "capsul-relay").string(), guest.to_string()};
    for (const PublishedPort& port : ports) {
        argv.push_back(port.to_string());
    }
    return quote_exec_line(argv);
}

} // namespace

std::string publish_socket_unit(const Name& vm, const std::vector<PublishedPort>& ports) {
    std::string listen;
    for (const PublishedPort& port : ports) {
        listen += listen_line(port);
    }
    return seal(
        fmt::format(R"(# The published ports of the VM {0}, written by capsul. They open and close with it.
[Unit]
Description=Published ports of the virtual machine {0}
Documentation=man:capsulctl-vm(1)
StopWhenUnneeded=yes

[Socket]
{1}BindIPv6Only=ipv6-only
# An answer comes from the address that was written to.
PassPacketInfo=yes
# At boot an address may come later than this.
FreeBind=yes
)",
                    vm.to_string(), listen));
}

std::string publish_service_unit(const Name& vm, const std::vector<PublishedPort>& ports,
                                 const IpAddress& guest, const std::filesystem::path& programs) {
    std::string text =
        fmt::format(R"(# Carries what comes to the published ports of the VM {0}, written by capsul.
# The socket unit starts it when somebody connects; it ends when nobody has for a minute.
[Unit]
Description=Relay from published ports to the virtual machine {0}
Documentation=man:capsulctl-vm(1)
# Not BindsTo=: the socket would be needed, and stay open, for as long as this runs.
PartOf={1}
After={1}

[Service]
Type=exec
ExecStart={2}
TimeoutStopSec=10s
SyslogIdentifier=capsul-publish-{0}
LogExtraFields=CAPSUL_VM={0}
UMask=0077

# Limits
LimitCORE=0
# Two for a connection, which holds back 128 KiB at most: half of the memory.
LimitNOFILE=4096
MemoryMax=512M
TasksMax=8
)",
                    vm.to_string(), publish_socket_name(vm), start_command(ports, guest, programs));
    text += sandbox_lines();
    text += "MemoryDenyWriteExecute=yes\nRestrictAddressFamilies=AF_INET AF_INET6\n";
    text += disk_lines(programs, {}); // it needs no file
    return seal(std::move(text));
}

} // namespace capsul
