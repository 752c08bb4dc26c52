#include "daemon/script_unit.hpp"

#include "daemon/journal.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

constexpr auto script_patience = 90s; // more than the units' own limits

/// What the step's script came to.
CommandRun run_of(const ServiceStatus& status, UnitStep step) {
    switch (step) {
    case UnitStep::reload:
        return status.exec_reload;
    case UnitStep::stop:
        return status.exec_stop_post;
    case UnitStep::start:
        break;
    }
    return {status.exec_main_start_usec, status.result == "exit-code" ? status.exec_main_status : -1};
}

/// As capsul-net(8) ends.
ErrorCode code_of(std::int32_t exit_status) {
    switch (exit_status) {
    case 1:
        return ErrorCode::denied;
    case 3:
    case 4:
        return ErrorCode::not_capable;
    default:
        return ErrorCode::internal;
    }
}

std::string hint_for(ErrorCode code, UnitStep step) {
    std::string hint = "`capsulctl doctor` tells what this host lacks";
    if (code == ErrorCode::denied) {
        hint = "what you may do is in /etc/capsul/net.policy, see net.policy(5); " + hint;
    }
    return step == UnitStep::stop ? hint + "; try again when the cause is gone" : hint;
}

bool is_torn_down(const ServiceStatus& status) {
    return status.exec_stop_post.start_usec != 0 && status.exec_stop_post.status == 0;
}

} // namespace

Error script_error(SystemdClient& systemd, const std::string& unit, UnitStep step, const std::string& what) {
    ServiceStatus status = systemd.status(unit);
    const CommandRun run = run_of(status, step);
    status.exec_main_start_usec = run.start_usec; // what it said from then on
    const auto lines = last_words(status, 3);
    std::string why = fmt::format("{}", fmt::join(lines, "; "));
    if (why.empty()) {
        why = fmt::format("systemd says: {} (status {})", status.result, run.status);
    }
    const ErrorCode code = code_of(run.status);
    return {code, what + ": " + why, hint_for(code, step)};
}

void reload_scripts(SystemdClient& systemd, const std::string& unit, const std::string& what) {
    if (systemd.reload_unit(unit, script_patience) != JobResult::done) {
        throw script_error(systemd, unit, UnitStep::reload, what);
    }
}

void take_down_scripts(SystemdClient& systemd, const std::string& unit, const std::string& what) {
    const ServiceStatus before = systemd.status(unit);
    if (before.active_state == "inactive") {
        return;
    }
    if (before.active_state == "failed" && before.load_state == "loaded" && !is_torn_down(before)) {
        // systemd stops only what is up; a start that fails tears down too. Not what it requires: that may
        // have been stopped.
        systemd.reset_failed(unit);
        systemd.start_alone(unit, script_patience);
    }
    systemd.stop(unit, script_patience);
    const ServiceStatus after = systemd.status(unit);
    if (after.active_state != "failed") {
        return;
    }
    if (after.load_state == "loaded" && !is_torn_down(after)) {
        throw script_error(systemd, unit, UnitStep::stop, what);
    }
    systemd.reset_failed(unit);
}

} // namespace capsul
