// What the services of the VM noun work with, and the facts about one VM that they share.
#pragma once

#include "daemon/event_log.hpp"
#include "daemon/image_service.hpp"
#include "daemon/kvm_probe.hpp"
#include "daemon/network_service.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/qemu_config.hpp"
#include "daemon/store.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "daemon/vm_monitors.hpp"
#include "lib/config.hpp"
#include "lib/vm.hpp"

#include <future>
#include <memory>

namespace capsul {

/// The collaborators, made in main.
struct VmHost {
    const Paths& paths;
    const Config& config;
    fs::path programs; ///< the folder of capsul's own programs
    Store& store;
    ImageService& images;
    NetworkService& networks;
    OperationService& operations;
    EventLog& events;
    SystemdClient& systemd;
    VmMonitors& monitors;
    const SandboxedTool& tool;

    /// Where a VM's files are.
    [[nodiscard]] VmFiles files(const VmRecord& vm) const;
    /// Refuses with not_found unless there is a VM of that name, broken or not.
    void require(const Name& name) const;
    [[nodiscard]] UserUnits units() const { return UserUnits(paths); }
    [[nodiscard]] fs::path unit_file(const Name& name) const { return units().file(vm_unit_name(name)); }
    [[nodiscard]] fs::path wants_link(const Name& name) const {
        return units().wants_link(vm_unit_name(name));
    }
    /// Makes it start at boot, or not; durable. True when that is a change.
    bool set_enabled(const Name& name, bool enabled) const {
        return units().set_enabled(vm_unit_name(name), enabled);
    }
    /// What this boot's probe of KVM says.
    [[nodiscard]] Accelerator accelerator() const;
};

/// The error (not_found) about a VM that there is not.
[[nodiscard]] Error no_such_vm(const Name& name);

/// "vm web: TEXT": how every error about a VM begins.
[[nodiscard]] std::string about(const Name& name, const std::string& text);

/// Refuses with wrong_state while the VM's disks are between now and a snapshot.
void require_no_restore(const VmRecord& vm);

/// The names of all units that a VM may have, its own first.
[[nodiscard]] std::vector<std::string> units_of(const Name& name);

/// Runs `work` as the VM's next action, in order with its others.
template <class Work>
Operation submit_action(const VmHost& host, const char* kind, const Name& name, Work work) {
    return host.operations.submit(kind, name.to_string(), "vm/" + name.to_string(), std::move(work));
}

/// The same for work that is a part of an operation, which waits for it: the VM's other actions wait no
/// longer than that part takes.
template <class Work>
auto run_as_action(const VmHost& host, const char* kind, const Name& name, Work work) {
    using Result = decltype(work());
    auto task = std::make_shared<std::packaged_task<Result()>>(std::move(work));
    auto result = task->get_future();
    submit_action(host, kind, name, [task = std::move(task)](Progress&) {
        (*task)();
        return Json::object();
    });
    try {
        return result.get();
    } catch (const std::future_error&) { // it was dropped from the queue
        throw Error(ErrorCode::unreachable, about(name, "capsuld is stopping: try again"));
    }
}

} // namespace capsul
