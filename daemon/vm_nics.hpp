// The NICs of VMs: what each gets, and what that means for the host.
#pragma once

#include "daemon/cloud_init.hpp"
#include "daemon/packet_filter.hpp"
#include "daemon/vm_host.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace capsul {

/// Every other VM, those that are being made too.
using OtherVms = std::vector<std::shared_ptr<const VmRecord>>;

/// Adds NICs to `vm` as asked for, and what capsul chooses for them. Throws Error: not_found (a network),
/// invalid, in_use (an address that another has), not_capable.
void add_nics(VmRecord& vm, const std::vector<NicSpec>& wanted, NetworkService& networks,
              const OtherVms& others);

/// Where its ssh server is reached from this host; nothing when capsul does not know an address of it.
[[nodiscard]] std::optional<Endpoint> ssh_endpoint(const VmRecord& vm);

/// What the guest is told about each of its NICs; one of them at most has a gateway of each family.
[[nodiscard]] std::vector<SeedNic> seed_nics(const VmRecord& vm, NetworkService& networks);

/// Its interfaces on the host as they are now; those that are not there are left out. `filter` is nothing
/// when it could not be told.
[[nodiscard]] std::vector<NicStatus> nic_statuses(const VmRecord& vm,
                                                  const std::optional<FilterFacts>& filter);

/// Writes the scripts and the unit of its TAPs; removes the unit when it has none. `gone`: TAPs to take away
/// when the unit is reloaded or stopped.
void write_tap_files(const VmHost& host, const VmRecord& vm, const std::vector<InterfaceName>& gone = {});

/// Takes its TAPs away, if they are there, and `gone`, which the scripts know but the record does not: they
/// are gone when this returns. Throws Error, see script_error.
void take_down_taps(const VmHost& host, const Name& name, const std::vector<InterfaceName>& gone = {});

} // namespace capsul
