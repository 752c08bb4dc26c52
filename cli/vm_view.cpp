#include "cli/vm_view.hpp"

#include "cli/disk_view.hpp"
#include "cli/nic_view.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

namespace capsul::cli {
namespace {

std::string uptime(const Vm& vm) {
    return vm.since ? age(Timestamp::now().value() - vm.since->value()) : "";
}

std::string uptime_seconds(const Vm& vm) {
    return vm.since ? std::to_string((Timestamp::now().value() - vm.since->value()).count()) : "";
}

std::string labels_text(const Labels& labels) {
    return joined(labels, [](const auto& pair) {
        const auto& [key, value] = pair;
        return value.empty() ? key : fmt::format("{}={}", key, value);
    });
}

std::string ports_text(const std::vector<PublishedPort>& ports) {
    return joined(ports, [](const PublishedPort& port) { return port.to_string(); });
}

std::string networks_of(const VmRecord& record) {
    return joined(record.nics, [](const Nic& nic) { return nic.network.to_string(); });
}

std::string addresses_of(const VmRecord& record) {
    return joined(record.nics, [](const Nic& nic) {
        return joined(std::array{nic.ip, nic.ip6}, optional_text<IpAddress>);
    });
}

std::string macs_of(const VmRecord& record) {
    return joined(record.nics, [](const Nic& nic) { return nic.mac.to_string(); });
}

/// What `text` gives of the record; empty for a broken VM.
template <class Text>
std::string of_spec(const Vm& vm, const Text& text) {
    return vm.spec ? text(*vm.spec) : std::string();
}

template <auto size>
std::string size_text(const Vm& vm) {
    return of_spec(vm, [](const VmRecord& r) { return (r.*size).to_string(); });
}

template <auto size>
std::string size_bytes(const Vm& vm) {
    return of_spec(vm, [](const VmRecord& r) { return std::to_string((r.*size).count()); });
}

constexpr std::array<Column<Vm>, 19> vm_table{{
    {"name", [](const Vm& vm) { return vm.name.to_string(); }},
    {"state", [](const Vm& vm) { return std::string(to_string(vm.state)); }, Shown::always, false,
     [](const Vm& vm) { return state_style(vm.state); }},
    {"image",
     [](const Vm& vm) { return of_spec(vm, [](const VmRecord& r) { return r.image.to_string(); }); }},
    {"cpus",
     [](const Vm& vm) {
         return of_spec(vm, [](const VmRecord& r) { return std::to_string(r.cpus.number()); });
     },
     Shown::always, true},
    {"memory", size_text<&VmRecord::memory>, Shown::always, true, nullptr, size_bytes<&VmRecord::memory>},
    {"disk", size_text<&VmRecord::disk>, Shown::always, true, nullptr, size_bytes<&VmRecord::disk>},
    {"ssh", [](const Vm& vm) { return endpoint_text(vm.ssh); }},
    {"uptime", uptime, Shown::always, true, nullptr, uptime_seconds},
    {"network", [](const Vm& vm) { return of_spec(vm, networks_of); }, Shown::wide},
    {"ip", [](const Vm& vm) { return of_spec(vm, addresses_of); }, Shown::wide},
    {"publish",
     [](const Vm& vm) { return of_spec(vm, [](const VmRecord& r) { return ports_text(r.publish); }); },
     Shown::wide},
    {"labels",
     [](const Vm& vm) { return of_spec(vm, [](const VmRecord& r) { return labels_text(r.labels); }); },
     Shown::wide},
    {"boot", [](const Vm& vm) { return std::string(vm.enabled ? "yes" : "no"); }, Shown::wide},
    {"since", [](const Vm& vm) { return vm.since ? vm.since->to_string() : std::string(); }, Shown::wide},
    {"created",
     [](const Vm& vm) { return of_spec(vm, [](const VmRecord& r) { return r.created.to_string(); }); },
     Shown::wide},
    {"unit", [](const Vm& vm) { return vm.unit; }, Shown::wide},
    {"uuid", [](const Vm& vm) { return of_spec(vm, [](const VmRecord& r) { return r.uuid.to_string(); }); },
     Shown::on_request},
    {"mac", [](const Vm& vm) { return of_spec(vm, macs_of); }, Shown::on_request},
    {"reason", [](const Vm& vm) { return vm.reason.value_or(""); }, Shown::filled},
}};

std::vector<Line> spec_lines(const VmRecord& record) {
    return {{"Image", record.image.to_string()},
            {"Kernel", record.boot ? record.boot->kernel.to_string() : ""},
            {"CPUs", std::to_string(record.cpus.number())},
            {"Memory", record.memory.to_string()},
            {"Disk", record.disk.to_string()},
            {"Published", ports_text(record.publish)},
            {"Labels", labels_text(record.labels)},
            {"UUID", record.uuid.to_string()},
            {"Created", record.created.to_string()},
            {"Stop timeout", record.stop_timeout.to_string()}};
}

} // namespace

Style state_style(VmState state) {
    switch (state) {
    case VmState::running:
        return Style::good;
    case VmState::failed:
    case VmState::broken:
        return Style::bad;
    case VmState::starting:
    case VmState::stopping:
    case VmState::paused:
        return Style::changing;
    case VmState::stopped:
        return Style::faint;
    }
    return Style::plain;
}

std::string endpoint_text(const std::optional<Endpoint>& endpoint) {
    if (!endpoint) {
        return {};
    }
    const bool ipv6 = endpoint->address.find(':') != std::string::npos;
    return fmt::format(fmt::runtime(ipv6 ? "[{}]:{}" : "{}:{}"), endpoint->address, endpoint->port);
}

std::string render_vm(const Vm& vm, const OutputOptions& options) {
    const std::string up = vm.since ? fmt::format("{} ({})", vm.since->to_string(), uptime(vm)) : "";
    std::vector<Line> lines{{"Name", vm.name.to_string()},
                            {"State", std::string(to_string(vm.state)), state_style(vm.state)},
                            {"Reason", vm.reason.value_or("")},
                            {"Ports closed", vm.unpublished.value_or("")},
                            {"Up since", up},
                            {"Starts at boot", vm.enabled ? "yes" : "no"},
                            {"SSH", endpoint_text(vm.ssh)},
                            {"Unit", vm.unit},
                            {"QEMU's PID", vm.pid ? std::to_string(*vm.pid) : ""}};
    if (vm.spec) {
        std::ranges::move(spec_lines(*vm.spec), std::back_inserter(lines));
        std::ranges::move(disk_lines(vm), std::back_inserter(lines));
        std::ranges::move(nic_lines(vm, options.format == Format::wide), std::back_inserter(lines));
    }
    return render_lines(lines, options);
}

std::span<const Column<Vm>> vm_columns() {
    return vm_table;
}

std::string age(std::chrono::seconds length) {
    const auto seconds = std::max<std::int64_t>(length.count(), 0);
    if (seconds < 60) {
        return fmt::format("{}s", seconds);
    }
    if (seconds < 3600) {
        return fmt::format("{}m", seconds / 60);
    }
    return seconds < 48 * 3600 ? fmt::format("{}h", seconds / 3600) : fmt::format("{}d", seconds / 86400);
}

void print_vms(Session& session, const std::vector<Vm>& vms) {
    print_list<Vm>(session.out(), session.output_options(), vms, vm_table);
}

void print_vm(Session& session, const Vm& vm) {
    print_one<Vm>(session.out(), session.output_options(), vm, vm_table, render_vm);
}

} // namespace capsul::cli
