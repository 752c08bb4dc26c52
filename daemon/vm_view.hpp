// VMs as they are shown. Nothing here waits for QEMU or a guest.
#pragma once

#include "daemon/vm_host.hpp"

#include <vector>

namespace capsul {

class VmView {
  public:
    explicit VmView(const VmHost& host) : host_(host) {}

    /// One bus call, however many there are.
    [[nodiscard]] std::vector<Vm> list(const VmList& wanted) const;
    [[nodiscard]] Vm show(const Name& name) const;
    [[nodiscard]] UnitView unit(const Name& name) const;
    [[nodiscard]] CommandView command(const Name& name) const;

  private:
    const VmHost& host_;
};

} // namespace capsul
