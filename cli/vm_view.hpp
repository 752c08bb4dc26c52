// How VMs are shown.
#pragma once

#include "cli/session.hpp"
#include "lib/vm.hpp"

#include <span>
#include <vector>

namespace capsul::cli {

[[nodiscard]] std::span<const Column<Vm>> vm_columns();
[[nodiscard]] Style state_style(VmState state);

void print_vms(Session& session, const std::vector<Vm>& vms);

/// All that is known of one, for a person; or in the form asked for.
void print_vm(Session& session, const Vm& vm);

/// "running since 3 h", as short as it can be: "45s", "12m", "3h", "5d".
[[nodiscard]] std::string age(std::chrono::seconds length);

} // namespace capsul::cli
