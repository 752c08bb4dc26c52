// Making and removing VMs, and what a crash has left of them.
#pragma once

#include "daemon/vm_guest.hpp"
#include "daemon/vm_power.hpp"

#include <mutex>
#include <set>

namespace capsul {

class VmService {
  public:
    VmService(const VmHost& host, const VmView& view, const VmPower& power)
        : host_(host), view_(view), power_(power) {}

    /// Finishes what a crash left half-done: VMs that were being made or deleted go. Then gets in touch with
    /// the VMs that run. Called once, before anything else.
    void recover();

    /// Checks everything that can be checked first, then makes it as an operation, undone whole on failure.
    Operation create(const VmCreate& call);
    Operation remove(const Name& name);

  private:
    class PortClaim;
    VmRecord plan(const VmCreate& call, const ImageRecord& image) const;
    void check_create(const VmCreate& call, const Name& name) const;
    Json make(const VmCreate& call, const Name& name, Progress& progress);
    void undo(const Name& name, Progress& progress) const;
    void write_files(const VmCreate& call, const VmRecord& vm) const;
    [[nodiscard]] std::vector<PublishedPort> ports_of_others(const Name& name) const;

    const VmHost& host_;
    const VmView& view_;
    const VmPower& power_;
    std::mutex ports_mutex_;
    std::multiset<PublishedPort> claimed_; ///< by VMs that are being made
};

} // namespace capsul
