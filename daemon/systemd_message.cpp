#include "daemon/systemd_message.hpp"

#include "lib/error.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <fmt/format.h>
#include <memory>
#include <span>
#include <string_view>
#include <systemd/sd-bus.h>

namespace capsul::systemd_message {
namespace {

constexpr const char* unit_prefix = "/org/freedesktop/systemd1/unit";

/// For sd-bus functions that read: 0 means there was nothing left.
void check_read(int result) {
    if (result <= 0) {
        throw Error(ErrorCode::internal, "a message from systemd does not have the documented types");
    }
}

void check_done(int result) {
    if (result < 0) {
        check_read(0);
    }
}

template <class T>
T read_basic(sd_bus_message* message, char type) {
    T value{};
    check_read(sd_bus_message_read_basic(message, type, &value));
    return value;
}

/// Runs `visit` for each element of a container's array.
template <class Visit>
void for_each_in(sd_bus_message* message, char type, const char* contents, Visit visit) {
    while (true) {
        const int entered = sd_bus_message_enter_container(message, type, contents);
        check_done(entered);
        if (entered == 0) {
            return;
        }
        visit();
        check_done(sd_bus_message_exit_container(message));
    }
}

/// Runs `read` on what a variant of that type holds.
template <class Read>
auto in_variant(sd_bus_message* message, const char* contents, Read read) {
    check_read(sd_bus_message_enter_container(message, SD_BUS_TYPE_VARIANT, contents));
    auto value = read();
    check_done(sd_bus_message_exit_container(message));
    return value;
}

template <class T>
T read_basic_variant(sd_bus_message* message, const char* contents) {
    return in_variant(message, contents, [&] { return read_basic<T>(message, contents[0]); });
}

std::vector<std::string> read_strings(sd_bus_message* message) {
    std::vector<std::string> strings;
    check_done(sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "s"));
    const char* text = nullptr;
    int got = 0;
    while ((got = sd_bus_message_read_basic(message, SD_BUS_TYPE_STRING, &text)) > 0) {
        strings.emplace_back(text);
    }
    check_done(got);
    check_done(sd_bus_message_exit_container(message));
    return strings;
}

/// An exec command: path, arguments, whether its failure is ignored, when it started and ended (each by both
/// clocks), PID, code and status.
CommandRun read_command_run(sd_bus_message* message) {
    CommandRun run;
    check_read(sd_bus_message_skip(message, "sasbt"));
    run.start_usec = read_basic<std::uint64_t>(message, 't');
    check_read(sd_bus_message_skip(message, "ttu"));
    const auto code = read_basic<std::int32_t>(message, 'i');
    const auto status = read_basic<std::int32_t>(message, 'i');
    run.status = code == 0 || code == CLD_EXITED ? status : -1;
    return run;
}

CommandRun read_last_command_run(sd_bus_message* message) {
    return in_variant(message, "a(sasbttttuii)", [&] {
        CommandRun last;
        check_done(sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "(sasbttttuii)"));
        for_each_in(message, SD_BUS_TYPE_STRUCT, "sasbttttuii", [&] { last = read_command_run(message); });
        check_done(sd_bus_message_exit_container(message));
        return last;
    });
}

void read_property(sd_bus_message* message, std::string_view name, ServiceStatus& status) {
    const auto text = [&](std::string& field) { field = read_string_variant(message); };
    if (name == "ActiveState") {
        text(status.active_state);
    } else if (name == "LoadState") {
        text(status.load_state);
    } else if (name == "Result") {
        text(status.result);
    } else if (name == "FragmentPath") {
        text(status.fragment_path);
    } else if (name == "DropInPaths") {
        status.drop_in_paths = in_variant(message, "as", [&] { return read_strings(message); });
    } else if (name == "NeedDaemonReload") {
        status.need_daemon_reload = in_variant(message, "b", [&] { return read_boolean(message); });
    } else if (name == "MainPID") {
        status.main_pid = static_cast<std::int32_t>(read_basic_variant<std::uint32_t>(message, "u"));
    } else if (name == "ExecMainStatus") {
        status.exec_main_status = read_basic_variant<std::int32_t>(message, "i");
    } else if (name == "ActiveEnterTimestamp") {
        status.active_enter_usec = read_basic_variant<std::uint64_t>(message, "t");
    } else if (name == "ExecMainStartTimestampMonotonic") {
        status.exec_main_start_usec = read_basic_variant<std::uint64_t>(message, "t");
    } else if (name == "ExecReload") {
        status.exec_reload = read_last_command_run(message);
    } else if (name == "ExecStopPost") {
        status.exec_stop_post = read_last_command_run(message);
    } else if (name == "SyslogIdentifier") {
        text(status.syslog_identifier);
    } else {
        check_read(sd_bus_message_skip(message, "v"));
    }
}

/// Runs `visit(name)` for each property of an a{sv}; it must read or skip the variant.
template <class Visit>
void for_each_property(sd_bus_message* message, Visit visit) {
    check_done(sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "{sv}"));
    for_each_in(message, SD_BUS_TYPE_DICT_ENTRY, "sv", [&] {
        const std::string name = read_string(message);
        visit(name);
    });
    check_done(sd_bus_message_exit_container(message));
}

JobResult job_result(std::string_view word) {
    constexpr std::array<std::pair<std::string_view, JobResult>, 7> words{
        {{"done", JobResult::done},
         {"canceled", JobResult::canceled},
         {"collected", JobResult::canceled},
         {"timeout", JobResult::timeout},
         {"failed", JobResult::failed},
         {"dependency", JobResult::dependency},
         {"skipped", JobResult::skipped}}};
    for (const auto& [name, result] : words) {
        if (name == word) {
            return result;
        }
    }
    return JobResult::failed; // "assert", "unsupported", "once", "invalid": it did not happen
}

} // namespace

std::string unit_path(const std::string& unit) {
    char* path = nullptr;
    if (sd_bus_path_encode(unit_prefix, unit.c_str(), &path) < 0) {
        throw Error(ErrorCode::internal, unit + ": cannot be a unit's name");
    }
    const std::unique_ptr<char, decltype(&std::free)> owner(path, std::free);
    return path;
}

std::optional<std::string> unit_of_path(const char* path) {
    char* name = nullptr;
    if (path == nullptr || sd_bus_path_decode(path, unit_prefix, &name) <= 0) {
        return std::nullopt;
    }
    const std::unique_ptr<char, decltype(&std::free)> owner(name, std::free);
    return name;
}

std::string read_string(sd_bus_message* message) {
    return read_basic<const char*>(message, SD_BUS_TYPE_STRING);
}

std::string read_object_path(sd_bus_message* message) {
    return read_basic<const char*>(message, SD_BUS_TYPE_OBJECT_PATH);
}

bool read_boolean(sd_bus_message* message) {
    return read_basic<int>(message, SD_BUS_TYPE_BOOLEAN) != 0;
}

std::string read_string_variant(sd_bus_message* message) {
    return in_variant(message, "s", [&] { return read_string(message); });
}

JobRemoved read_job_removed(sd_bus_message* message) {
    (void)read_basic<std::uint32_t>(message, SD_BUS_TYPE_UINT32);
    std::string path = read_object_path(message);
    std::string unit = read_string(message);
    return {std::move(path), std::move(unit), job_result(read_string(message))};
}

std::vector<UnitStatus> read_unit_list(sd_bus_message* message) {
    std::vector<UnitStatus> units;
    check_done(sd_bus_message_enter_container(message, SD_BUS_TYPE_ARRAY, "(ssssssouso)"));
    for_each_in(message, SD_BUS_TYPE_STRUCT, "ssssssouso", [&] {
        UnitStatus unit;
        unit.name = read_string(message);
        check_read(sd_bus_message_skip(message, "ss")); // description, load state
        unit.active_state = read_string(message);
        check_read(sd_bus_message_skip(message, "ssouso")); // sub-state, followed unit, path, job
        units.push_back(std::move(unit));
    });
    check_done(sd_bus_message_exit_container(message));
    return units;
}

ServiceStatus read_service_status(sd_bus_message* message) {
    ServiceStatus status;
    for_each_property(message, [&](const std::string& name) { read_property(message, name, status); });
    return status;
}

std::optional<UnitStatus> read_state_change(sd_bus_message* message, const std::string& unit) {
    if (read_string(message) != "org.freedesktop.systemd1.Unit") {
        return std::nullopt;
    }
    UnitStatus status{unit, ""};
    for_each_property(message, [&](const std::string& name) {
        if (name == "ActiveState") {
            status.active_state = read_string_variant(message);
        } else {
            check_read(sd_bus_message_skip(message, "v"));
        }
    });
    return status.active_state.empty() ? std::nullopt : std::optional(status);
}

} // namespace capsul::systemd_message
