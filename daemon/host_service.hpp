// The host: what this daemon is, and whether the machine can do the work.
#pragma once

#include "daemon/network_service.hpp"
#include "daemon/systemd_client.hpp"
#include "lib/host.hpp"
#include "lib/paths.hpp"

namespace capsul {

class HostService {
  public:
    HostService(const Paths& paths, SystemdClient& systemd, NetworkService& networks)
        : paths_(paths), systemd_(systemd), networks_(networks) {}

    [[nodiscard]] HostInfo show() const;
    /// Looks at each thing that VMs need; never throws for what it finds.
    [[nodiscard]] std::vector<Finding> doctor();

  private:
    const Paths& paths_;
    SystemdClient& systemd_;
    NetworkService& networks_;
};

} // namespace capsul
