// How VMs are shown.
#pragma once

#include "cli/session.hpp"
#include "lib/vm.hpp"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace capsul::cli {

[[nodiscard]] std::span<const Column<Vm>> vm_columns();
[[nodiscard]] Style state_style(VmState state);

void print_vms(Session& session, const std::vector<Vm>& vms);

/// All that is known of one, for a person; or in the form asked for.
void print_vm(Session& session, const Vm& vm);

/// That for a person.
[[nodiscard]] std::string render_vm(const Vm& vm, const OutputOptions& options);

/// "127.0.0.1:22001", "[2001:db8::2]:22"; empty for none.
[[nodiscard]] std::string endpoint_text(const std::optional<Endpoint>& endpoint);

/// "running since 3 h", as short as it can be: "45s", "12m", "3h", "5d".
[[nodiscard]] std::string age(std::chrono::seconds length);

} // namespace capsul::cli
