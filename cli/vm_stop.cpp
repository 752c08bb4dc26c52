// stop and restart.
#include "cli/commands.hpp"
#include "cli/vm_select.hpp"

#include <array>
#include <fmt/format.h>
#include <memory>

namespace capsul::cli {
namespace {

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
                    "How long the guest gets to power down (default, and at most: the VM's --stop-timeout)")
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

constexpr std::array<Column<StopResult>, 3> stop_table{{
    {"name", [](const StopResult& result) { return result.vm.name.to_string(); }},
    {"state", [](const StopResult& result) { return std::string(to_string(result.vm.state)); }, Shown::always,
     false, [](const StopResult& result) { return state_style(result.vm.state); }},
    {"how", [](const StopResult& result) { return std::string(to_string(result.how)); }},
}};

template <Call C, class Words>
void stop_each(Session& session, const StopFlags& flags, const Targets& targets, const Words& words) {
    std::vector<StopResult> results;
    run_for_each<C>(
        session, "vm", targets.names,
        [&](const Name& name) { return C{.name = name, .timeout = flags.limit(), .force = flags.force}; },
        [&](const Name& name, const StopResult& result) {
            session.note(fmt::format("vm {}: {}", name.to_string(), words(result)));
            results.push_back(result);
        });
    print_results<StopResult>(session, results, flags.targets.single(), stop_table);
}

} // namespace

void add_vm_stop(CLI::App& parent, Session& session) {
    CLI::App& command = add_command(parent, "stop", "Ask guests to power down, and wait until they have",
                                    "capsulctl stop web\n"
                                    "capsulctl stop web --timeout 20s    # then by force\n"
                                    "capsulctl stop --all --force");
    auto flags = std::make_shared<StopFlags>();
    add_selectors(command, flags->targets, true);
    add_stop_options(command, *flags);
    prints_table<StopResult>(session, command, stop_table, true);
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
    prints_table<StopResult>(session, command, stop_table, true);
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

} // namespace capsul::cli
