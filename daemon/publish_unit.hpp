// The systemd units of the ports that are published for a VM on a nat network. Pure.
//
// A socket unit holds the ports of this host, so that they are there, and can be seen, without any process;
// the service that it starts carries what comes to the guest.
#pragma once

#include "lib/cidr.hpp"
#include "lib/name.hpp"
#include "lib/port.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace capsul {

/// The sealed text of capsul-publish-VM.socket. It comes and goes with the VM's unit.
[[nodiscard]] std::string publish_socket_unit(const Name& vm, const std::vector<PublishedPort>& ports);

/// The sealed text of capsul-publish-VM.service. `guest` is the address that the ports lead to, `programs`
/// the folder of capsul's own programs.
[[nodiscard]] std::string publish_service_unit(const Name& vm, const std::vector<PublishedPort>& ports,
                                               const IpAddress& guest, const std::filesystem::path& programs);

} // namespace capsul
