#include "daemon/vm_start_error.hpp"

#include "daemon/journal.hpp"
#include "daemon/script_unit.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

/// Why a unit failed that printed nothing.
std::string silent_failure(const ServiceStatus& status) {
    return fmt::format("{} (status {})",
                       was_run(status) ? "systemd says: " + status.result
                                       : "systemd could not do what its unit says, such as its sandbox",
                       status.exec_main_status);
}

std::string drop_in_hint(const ServiceStatus& status) {
    return status.drop_in_paths.empty()
               ? ""
               : fmt::format("its unit is changed by {}; ", fmt::join(status.drop_in_paths, ", "));
}

} // namespace

Error start_error(const VmHost& host, const Name& name) {
    const ServiceStatus status = host.systemd.status(vm_unit_name(name));
    const auto lines = last_words(status, 5);
    std::string why = fmt::format("{}", fmt::join(lines, "; "));
    if (why.empty()) {
        why = silent_failure(status);
    }
    return {ErrorCode::internal, about(name, "QEMU did not start: " + why),
            drop_in_hint(status) + "`capsulctl logs --source unit " + name.to_string() +
                "` and `capsulctl doctor` tell more"};
}

Error dependency_error(const VmHost& host, const VmRecord& vm) {
    std::vector<std::string> units{tap_unit_name(vm.name)};
    for (const Name& network : networks_of(vm)) {
        units.insert(units.begin(), network_unit_name(network));
    }
    for (const std::string& unit : units) {
        if (host.systemd.status(unit).active_state != "failed") {
            continue;
        }
        Error error =
            script_error(host.systemd, unit, UnitStep::start, about(vm.name, "cannot start: " + unit));
        host.systemd.reset_failed(unit);
        return error;
    }
    return start_error(host, vm.name);
}

} // namespace capsul
