#include "daemon/vm_host.hpp"

#include <fmt/format.h>

namespace capsul {

VmFiles VmHost::files(const VmRecord& vm) const {
    VmFiles files{.folder = paths.vm(vm.name),
                  .runtime = paths.vm_runtime(vm.name),
                  .base = images.disk_path(vm.image_digest),
                  .kernel = {},
                  .initrd = {},
                  .cmdline = {}};
    if (vm.boot) {
        files.kernel = images.kernel_path(vm.boot->kernel);
        files.cmdline = vm.boot->cmdline;
    }
    if (vm.boot && vm.boot->initrd) {
        files.initrd = images.initrd_path(*vm.boot->initrd);
    }
    return files;
}

void VmHost::require(const Name& name) const {
    if (!store.vms.exists(name)) {
        throw no_such_vm(name);
    }
}

Accelerator VmHost::accelerator() const {
    return remembered_kvm(paths.runtime / "capsul").works ? Accelerator::kvm : Accelerator::tcg;
}

Error no_such_vm(const Name& name) {
    return {ErrorCode::not_found, about(name, "does not exist"), "`capsulctl vm list` shows those there are"};
}

std::string about(const Name& name, const std::string& text) {
    return fmt::format("vm {}: {}", name.to_string(), text);
}

void require_no_restore(const VmRecord& vm) {
    if (vm.restoring) {
        const std::string snapshot = vm.restoring->to_string();
        throw Error(
            ErrorCode::wrong_state, about(vm.name, "its disks are half-way to snapshot " + snapshot),
            fmt::format("`capsulctl vm snapshot restore {} {}` finishes it", vm.name.to_string(), snapshot));
    }
}

std::vector<std::string> units_of(const Name& name) {
    return {vm_unit_name(name), tap_unit_name(name), publish_socket_name(name), publish_service_name(name)};
}

} // namespace capsul
