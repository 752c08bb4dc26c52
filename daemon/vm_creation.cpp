#include "daemon/vm_creation.hpp"

#include "daemon/cloud_init.hpp"
#include "daemon/disk_file.hpp"
#include "daemon/seed_iso.hpp"
#include "daemon/unit_file.hpp"
#include "daemon/vm_nics.hpp"
#include "daemon/vm_publish.hpp"
#include "daemon/vm_unit.hpp"
#include "lib/fd.hpp"

#include <fmt/format.h>

namespace capsul {

void write_new_files(const VmHost& host, const VmCreate& call, const VmRecord& vm, const ImageRecord& image) {
    const VmFiles files = host.files(vm);
    make_folders(files.folder);
    create_overlay(files.disk(), files.base, vm.disk);
    const Seed seed{vm.uuid,
                    vm.name,
                    call.ssh_keys,
                    call.user_data,
                    call.init_script,
                    seed_nics(vm, host.networks),
                    image.published && image.published->reset};
    write_files_around_disks(host, vm, seed_files(seed));
}

void write_files_around_disks(const VmHost& host, const VmRecord& vm,
                              const std::map<std::string, std::string>& seed) {
    const VmFiles files = host.files(vm);
    replace_file(files.seed(), seed_iso(seed));
    replace_file(files.serial_log(), "");
    replace_file(files.config(), seal(to_readconfig(qemu_sections(vm, files, host.accelerator()))));
    write_tap_files(host, vm);
    write_publish_files(host, vm);
    make_folders(host.paths.units, 0755);
    replace_file(host.unit_file(vm.name), vm_unit(vm, files, host.programs), 0644);
}

void start_made(const VmHost& host, const VmPower& power, const Name& name, const char* made,
                Progress& progress) {
    try {
        run_as_action(host, "vm.start", name, [&] { return power.start(name, progress); });
    } catch (const Error& error) {
        const std::string again = "`capsulctl start " + name.to_string() + "` tries it again";
        throw Error(error.code(),
                    about(name, fmt::format("was {}, but does not start: {}", made, error.what())),
                    error.hint().empty() ? again : fmt::format("{}; {}", error.hint(), again));
    }
}

} // namespace capsul
