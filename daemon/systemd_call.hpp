// The calls that are made to systemd (org.freedesktop.systemd1(5)), ready to be sent.
#pragma once

#include "daemon/systemd_bus.hpp"
#include "daemon/systemd_message.hpp"

#include <functional>
#include <string>
#include <systemd/sd-bus.h>
#include <type_traits>
#include <utility>

namespace capsul::systemd_call {

inline constexpr const char* manager_path = "/org/freedesktop/systemd1";
inline constexpr const char* manager_interface = "org.freedesktop.systemd1.Manager";
inline constexpr const char* unit_interface = "org.freedesktop.systemd1.Unit";
inline constexpr const char* properties_interface = "org.freedesktop.DBus.Properties";
inline constexpr const char* no_such_unit = "org.freedesktop.systemd1.NoSuchUnit";
inline constexpr const char* no_such_process = "org.freedesktop.systemd1.NoSuchProcess";

/// Writes these values, std::string or plain, as sd_bus_message_append(3) does.
template <class... Values>
std::function<void(sd_bus_message*)> arguments(const char* types, Values... values) {
    const auto raw = [](const auto& value) {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) {
            return value.c_str();
        } else {
            return value;
        }
    };
    return [=](sd_bus_message* message) {
        check_bus(sd_bus_message_append(message, types, raw(values)...), "a message to systemd");
    };
}

inline SystemdBus::Call manager(const char* member, std::function<void(sd_bus_message*)> append = {}) {
    return {manager_path, manager_interface, member, std::move(append), {}, {}};
}

inline SystemdBus::Call get_property(const std::string& path, const char* interface, const char* property) {
    return {path,  properties_interface,
            "Get", arguments("ss", std::string(interface), std::string(property)),
            {},    {}};
}

inline void ignore_reply(sd_bus_message*) {}

/// Asks for a unit's ActiveState; exactly one of the two is called.
inline void get_active_state(SystemdBus& bus, const std::string& unit,
                             std::function<void(const std::string&)> on_state,
                             std::function<void(const SystemdBus::Failure&)> on_failure) {
    SystemdBus::Call call = get_property(systemd_message::unit_path(unit), unit_interface, "ActiveState");
    call.on_reply = [on_state = std::move(on_state)](sd_bus_message* message) {
        on_state(systemd_message::read_string_variant(message));
    };
    call.on_failure = std::move(on_failure);
    bus.call(std::move(call));
}

} // namespace capsul::systemd_call
