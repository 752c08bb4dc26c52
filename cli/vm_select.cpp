#include "cli/vm_select.hpp"

namespace capsul::cli {
namespace {

void check_selectors(const TargetFlags& flags, bool with_all) {
    const int kinds = (flags.names.empty() ? 0 : 1) + (flags.labels.empty() ? 0 : 1) + (flags.all ? 1 : 0);
    if (kinds != 1) {
        throw Error(ErrorCode::invalid,
                    kinds == 0 ? "no VM is named" : "give names, or --label, or --all; not several of them",
                    kinds == 0
                        ? (with_all ? "give its name, or --label, or --all" : "give its name, or --label")
                        : "");
    }
}

} // namespace

CLI::Option* add_names(CLI::App& command, std::vector<std::string>& names) {
    return command.add_option("NAME", names, "The VM, or several")->type_name("VM");
}

void add_selectors(CLI::App& command, TargetFlags& flags, bool with_all) {
    add_names(command, flags.names);
    command.add_option("-l,--label", flags.labels, "All VMs with this label, KEY or KEY=VALUE")
        ->type_name("LABEL")
        ->allow_extra_args(false);
    if (with_all) {
        command.add_flag("-a,--all", flags.all, "All VMs");
    }
}

Targets select(Session& session, const TargetFlags& flags, bool with_all,
               const std::function<bool(VmState)>& needs) {
    check_selectors(flags, with_all);
    Targets targets;
    if (!flags.names.empty()) {
        targets.names = parse_names(flags.names);
        return targets;
    }
    for (const Vm& vm : session.client().call(VmList{.label = flags.labels, .state = {}})) {
        if (needs(vm.state)) {
            targets.names.push_back(vm.name);
            targets.states[vm.name] = vm.state;
        }
    }
    if (targets.names.empty()) {
        session.note("no VM needs it");
    }
    return targets;
}

} // namespace capsul::cli
