// Which VMs an action is for: those named, or labelled, or all.
#pragma once

#include "cli/command.hpp"
#include "cli/targets.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm.hpp"

#include <functional>
#include <map>

namespace capsul::cli {

struct TargetFlags {
    std::vector<std::string> names;
    std::vector<std::string> labels;
    bool all = false;

    [[nodiscard]] bool single() const { return !all && labels.empty() && names.size() == 1; }
};

struct Targets {
    std::vector<Name> names;
    std::map<Name, VmState> states; ///< as they were, where known
};

CLI::Option* add_names(CLI::App& command, std::vector<std::string>& names);

/// The names, --label and, `with_all`, --all.
void add_selectors(CLI::App& command, TargetFlags& flags, bool with_all);

/// The VMs that are meant; of those not named one by one, only such as are in need of the action. Throws
/// Error (invalid) unless exactly one way of naming them is used.
[[nodiscard]] Targets select(Session& session, const TargetFlags& flags, bool with_all,
                             const std::function<bool(VmState)>& needs);

} // namespace capsul::cli
