// systemd's D-Bus messages (org.freedesktop.systemd1(5)) as values. Every function throws Error when a
// message does not have the documented types.
#pragma once

#include "daemon/systemd_client.hpp"

#include <optional>
#include <string_view>

struct sd_bus_message;

namespace capsul::systemd_message {

/// The object path of a unit, and back (nothing when it is no unit's).
[[nodiscard]] std::string unit_path(const std::string& unit);
[[nodiscard]] std::optional<std::string> unit_of_path(const char* path);

/// The next value of that type.
[[nodiscard]] std::string read_string(sd_bus_message* message);
[[nodiscard]] std::string read_object_path(sd_bus_message* message);
[[nodiscard]] bool read_boolean(sd_bus_message* message);
/// A string in a variant: the answer to Properties.Get.
[[nodiscard]] std::string read_string_variant(sd_bus_message* message);

struct JobRemoved {
    std::string path;
    std::string unit;
    JobResult result;
};
[[nodiscard]] JobRemoved read_job_removed(sd_bus_message* message);

/// The answer to ListUnitsByPatterns.
[[nodiscard]] std::vector<UnitStatus> read_unit_list(sd_bus_message* message);

/// The answer to Properties.GetAll.
[[nodiscard]] ServiceStatus read_service_status(sd_bus_message* message);

/// The new state in a PropertiesChanged signal of a unit; nothing when it tells of something else.
[[nodiscard]] std::optional<UnitStatus> read_state_change(sd_bus_message* message, const std::string& unit);

} // namespace capsul::systemd_message
