// The commands that change the state of VMs, or wait for one; stop and restart are in vm_stop. Each takes
// several names.
#include "cli/commands.hpp"
#include "cli/vm_select.hpp"
#include "lib/vm.hpp"

#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

/// The state a VM was in before the action; nothing when it cannot be told: the action will say why.
std::optional<VmState> state_before(Session& session, const Name& name) {
    try {
        return session.client().call(VmShow{name}).state;
    } catch (const NoDaemon&) {
        throw;
    } catch (const Error&) {
        return std::nullopt;
    }
}

void look_up_states(Session& session, Targets& targets) {
    for (const Name& name : targets.names) {
        if (const auto state = targets.states.contains(name) ? std::nullopt : state_before(session, name)) {
            targets.states[name] = *state;
        }
    }
}

void note_state(Session& session, const Targets& targets, const Name& name, VmState now) {
    const auto before = targets.states.find(name);
    const bool already = before != targets.states.end() && before->second == now;
    session.note(fmt::format("vm {}: {}{}", name.to_string(), already ? "already " : "", to_string(now)));
}

/// An action that is done with nothing but a name, and leads to a state.
template <Call C>
void change_state(Session& session, const TargetFlags& flags, Targets targets) {
    look_up_states(session, targets);
    std::vector<Vm> results;
    run_for_each<C>(
        session, "vm", targets.names, [](const Name& name) { return C{.name = name}; },
        [&](const Name& name, const Vm& vm) {
            note_state(session, targets, name, vm.state);
            results.push_back(vm);
        });
    print_results<Vm>(session, results, flags.single(), vm_columns());
}

struct DeleteFlags {
    TargetFlags targets;
    bool yes = false;
    bool ignore_missing = false;
};

/// Asks, unless it need not.
bool may_delete(const DeleteFlags& flags, const std::vector<Name>& names) {
    if (flags.yes || names.empty()) {
        return true;
    }
    return confirm("vm delete", fmt::format("Delete {} with {}, for good?", listed(names),
                                            names.size() == 1 ? "its disk" : "their disks"));
}

void delete_vms(Session& session, const DeleteFlags& flags) {
    Targets targets = select(session, flags.targets, false, [](VmState) { return true; });
    if (flags.ignore_missing) {
        drop_missing(session, "vm", targets.names, session.client().call(VmList{}));
    }
    if (!may_delete(flags, targets.names)) {
        throw Error(ErrorCode::invalid, "not deleted: the answer was not y", "--yes goes on unasked");
    }
    std::vector<Vm> results;
    run_for_each<VmDelete>(
        session, "vm", targets.names, [](const Name& name) { return VmDelete{name}; },
        [&](const Name& name, const Vm& vm) {
            session.note(fmt::format("vm {}: deleted", name.to_string()));
            results.push_back(vm);
        });
    print_results<Vm>(session, results, flags.targets.single(), vm_columns());
}

struct WaitFlags {
    TargetFlags targets;
    std::string stage = "running";
    std::string timeout;
};

void wait_for(Session& session, const WaitFlags& flags) {
    VmWait call;
    call.stage = parse_option<VmStage>("--for", flags.stage);
    if (!flags.timeout.empty()) {
        call.timeout = parse_option<Duration>("--timeout", flags.timeout);
    }
    std::vector<Vm> results;
    run_for_each<VmWait>(
        session, "vm", parse_names(flags.targets.names),
        [&](const Name& name) {
            call.name = name;
            return call;
        },
        [&](const Name& name, const Vm& vm) {
            session.note(fmt::format("vm {}: {}", name.to_string(), to_string(call.stage)));
            results.push_back(vm);
        });
    print_results<Vm>(session, results, flags.targets.single(), vm_columns());
}

/// A command that takes names only.
template <Call C>
void add_plain_action(CLI::App& parent, Session& session, const char* verb, const char* description,
                      const char* examples) {
    CLI::App& command = add_command(parent, verb, description, examples);
    auto flags = std::make_shared<TargetFlags>();
    add_names(command, flags->names)->required();
    prints_table<Vm>(session, command, vm_columns(), true);
    command.callback([&session, flags] {
        change_state<C>(session, *flags, Targets{.names = parse_names(flags->names), .states = {}});
    });
}

} // namespace

void add_vm_start(CLI::App& parent, Session& session) {
    CLI::App& command =
        add_command(parent, "start", "Start VMs, now and when the host boots; resume paused ones",
                    "capsulctl start web\n"
                    "capsulctl start web db --json\n"
                    "capsulctl start --label tier=test");
    auto flags = std::make_shared<TargetFlags>();
    add_selectors(command, *flags, true);
    prints_table<Vm>(session, command, vm_columns(), true);
    command.callback([&session, flags] {
        const auto needs = [](VmState state) { return state != VmState::running; };
        change_state<VmStart>(session, *flags, select(session, *flags, true, needs));
    });
}

void add_vm_kill(CLI::App& parent, Session& session) {
    add_plain_action<VmKill>(parent, session, "kill", "End VMs at once: a power cut, when even stop hangs",
                             "capsulctl vm kill web");
}

void add_vm_pause(CLI::App& parent, Session& session) {
    add_plain_action<VmPause>(parent, session, "pause", "Freeze VMs; their memory stays",
                              "capsulctl vm pause web && capsulctl vm resume web");
}

void add_vm_resume(CLI::App& parent, Session& session) {
    add_plain_action<VmResume>(parent, session, "resume", "Let paused VMs go on", "capsulctl vm resume web");
}

void add_vm_delete(CLI::App& parent, Session& session, const std::string& name) {
    CLI::App& command = add_command(parent, name, "Delete VMs with their disks; running ones are ended",
                                    "capsulctl vm delete web          # asks, on a terminal\n"
                                    "capsulctl vm delete web db --yes --ignore-missing\n"
                                    "capsulctl rm --label tier=test --yes");
    command.alias(name == "rm" ? "delete" : "rm");
    auto flags = std::make_shared<DeleteFlags>();
    add_selectors(command, flags->targets, false);
    command.add_flag("-y,--yes", flags->yes, "Do not ask");
    command.add_flag("--ignore-missing", flags->ignore_missing, "Success when there is no such VM");
    prints_table<Vm>(session, command, vm_columns(), true);
    command.callback([&session, flags] { delete_vms(session, *flags); });
}

void add_vm_wait(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "wait", "Wait until VMs have reached a stage; exit 5 on time-out",
                                    "capsulctl vm wait web --for ssh\n"
                                    "capsulctl vm wait web db --for cloud-init --timeout 10m\n"
                                    "capsulctl vm wait web --for stopped");
    auto flags = std::make_shared<WaitFlags>();
    add_names(command, flags->targets.names)->required();
    command.add_option("--for", flags->stage, "The stage (default: running)")
        ->type_name("running|agent|ssh|cloud-init|stopped");
    command.add_option("--timeout", flags->timeout, "How long to wait at most (default: 5m)")
        ->type_name("TIME");
    prints_table<Vm>(session, command, vm_columns(), true);
    command.callback([&session, flags] { wait_for(session, *flags); });
}

} // namespace capsul::cli
