// The commands that change the state of VMs, or wait for one: each takes several names.
#include "cli/commands.hpp"
#include "cli/targets.hpp"
#include "cli/vm_view.hpp"
#include "lib/vm.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <memory>

namespace capsul::cli {
namespace {

/// Which VMs an action is for.
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

/// The VMs that are meant; of those not named one by one, only such as are in need of the action.
template <class Needs>
Targets select(Session& session, const TargetFlags& flags, bool with_all, const Needs& needs) {
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

/// The state a VM was in before the action; nothing when it cannot be told: the action will say why.
std::optional<VmState> state_before(Session& session, const Name& name) {
    try {
        return session.client().call(VmShow{name}).state;
    } catch (const Error& error) {
        if (error.code() == ErrorCode::unreachable) {
            throw;
        }
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
    print_results(session, results, flags.single());
}

struct StopFlags {
    TargetFlags targets;
    std::string timeout;
    bool force = false;

    [[nodiscard]] std::optional<Duration> limit() const {
        return timeout.empty() ? std::nullopt : std::optional(parse_option<Duration>("--timeout", timeout));
    }
};

void add_stop_options(CLI::App& command, StopFlags& flags) {
    command
        .add_option("--timeout", flags.timeout,
                    "How long the guest gets to power down (default: the VM's own)")
        ->type_name("TIME");
    command.add_flag("-f,--force", flags.force, "Do not ask the guest: a power cut");
}

std::string stop_words(const StopResult& result, const StopFlags& flags) {
    switch (result.how) {
    case StopKind::graceful:
        return "stopped gracefully";
    case StopKind::already:
        return "already stopped";
    case StopKind::forced:
        break;
    }
    if (flags.force) {
        return "forced to stop";
    }
    const auto limit = flags.limit()
                           ? flags.limit()
                           : (result.vm.spec ? std::optional(result.vm.spec->stop_timeout) : std::nullopt);
    return limit ? fmt::format("did not stop within {}: forced", limit->to_string())
                 : "did not stop in time: forced";
}

template <Call C, class Words>
void stop_each(Session& session, const StopFlags& flags, const Targets& targets, const Words& words) {
    std::vector<Vm> results;
    run_for_each<C>(
        session, "vm", targets.names,
        [&](const Name& name) { return C{.name = name, .timeout = flags.limit(), .force = flags.force}; },
        [&](const Name& name, const StopResult& result) {
            session.note(fmt::format("vm {}: {}", name.to_string(), words(result)));
            results.push_back(result.vm);
        });
    print_results(session, results, flags.targets.single());
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
    std::vector<std::string> words;
    std::ranges::transform(names, std::back_inserter(words), &Name::to_string);
    return confirm("vm delete", fmt::format("Delete {} with {}, for good?", fmt::join(words, ", "),
                                            names.size() == 1 ? "its disk" : "their disks"));
}

/// Takes out those that do not exist, and says so.
void drop_missing(Session& session, std::vector<Name>& names) {
    std::vector<Name> there;
    for (const Vm& vm : session.client().call(VmList{})) {
        there.push_back(vm.name);
    }
    std::erase_if(names, [&](const Name& name) {
        const bool missing = std::ranges::find(there, name) == there.end();
        if (missing) {
            session.note(fmt::format("vm {}: does not exist", name.to_string()));
        }
        return missing;
    });
}

void delete_vms(Session& session, const DeleteFlags& flags) {
    Targets targets = select(session, flags.targets, false, [](VmState) { return true; });
    if (flags.ignore_missing) {
        drop_missing(session, targets.names);
    }
    if (!may_delete(flags, targets.names)) {
        throw Error(ErrorCode::invalid, "not deleted");
    }
    std::vector<Vm> results;
    run_for_each<VmDelete>(
        session, "vm", targets.names, [](const Name& name) { return VmDelete{name}; },
        [&](const Name& name, const Vm& vm) {
            session.note(fmt::format("vm {}: deleted", name.to_string()));
            results.push_back(vm);
        });
    print_results(session, results, flags.targets.single());
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
    print_results(session, results, flags.targets.single());
}

/// A command that takes names only.
template <Call C>
void add_plain_action(CLI::App& parent, Session& session, const char* verb, const char* description,
                      const char* examples) {
    CLI::App& command = add_command(parent, verb, description, examples);
    auto flags = std::make_shared<TargetFlags>();
    add_names(command, flags->names)->required();
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
    command.callback([&session, flags] {
        const auto needs = [](VmState state) { return state != VmState::running; };
        change_state<VmStart>(session, *flags, select(session, *flags, true, needs));
    });
}

void add_vm_stop(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "stop", "Ask guests to power down, and wait until they have",
                                    "capsulctl stop web\n"
                                    "capsulctl stop web --timeout 20s    # then by force\n"
                                    "capsulctl stop --all --force");
    auto flags = std::make_shared<StopFlags>();
    add_selectors(command, flags->targets, true);
    add_stop_options(command, *flags);
    command.callback([&session, flags] {
        static_cast<void>(flags->limit());
        const auto needs = [](VmState state) {
            return state != VmState::stopped && state != VmState::failed && state != VmState::broken;
        };
        stop_each<VmStop>(session, *flags, select(session, flags->targets, true, needs),
                          [&](const StopResult& result) { return stop_words(result, *flags); });
    });
}

void add_vm_restart(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "restart", "Stop VMs and start them again",
                                    "capsulctl restart web\n"
                                    "capsulctl restart web --force    # as the reset button does");
    auto flags = std::make_shared<StopFlags>();
    add_names(command, flags->targets.names)->required();
    add_stop_options(command, *flags);
    command.callback([&session, flags] {
        static_cast<void>(flags->limit());
        stop_each<VmRestart>(session, *flags, {.names = parse_names(flags->targets.names), .states = {}},
                             [&](const StopResult& result) {
                                 return result.how == StopKind::already
                                            ? std::string("was stopped, running now")
                                            : stop_words(result, *flags) + ", running again";
                             });
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
    auto flags = std::make_shared<DeleteFlags>();
    add_selectors(command, flags->targets, false);
    command.add_flag("-y,--yes", flags->yes, "Do not ask");
    command.add_flag("--ignore-missing", flags->ignore_missing, "Success when there is no such VM");
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
    command.callback([&session, flags] { wait_for(session, *flags); });
}

} // namespace capsul::cli
