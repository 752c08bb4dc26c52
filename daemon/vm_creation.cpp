#include "daemon/vm_creation.hpp"

#include "daemon/cloud_init.hpp"
#include "daemon/process.hpp"
#include "daemon/seed_iso.hpp"
#include "daemon/unit_file.hpp"
#include "daemon/vm_nics.hpp"
#include "daemon/vm_publish.hpp"
#include "daemon/vm_unit.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

void sync_file(const fs::path& path) {
    const UniqueFd fd = open_file(path, O_RDONLY);
    if (::fsync(fd.get()) != 0) {
        throw_errno(errno, path.string());
    }
}

/// No sandbox of its own: it has to be quick, and of the base qemu-img reads only the header, which
/// check_qcow2_header has judged before the image was taken.
void create_overlay(const VmFiles& files, Bytes size) {
    const ProcessResult result =
        run_process({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", files.base.string(),
                     files.disk().string(), std::to_string(size.count())},
                    30s);
    if (result.status != 0) {
        const bool full = result.err.find("No space left") != std::string::npos;
        throw Error(
            full ? ErrorCode::no_space : ErrorCode::internal,
            fmt::format("{}: {}", files.disk().string(), result.err.substr(0, result.err.find('\n'))));
    }
    sync_file(files.disk());
}

} // namespace

void write_new_files(const VmHost& host, const VmCreate& call, const VmRecord& vm) {
    const VmFiles files = host.files(vm);
    const std::string unit = vm_unit(vm, files, host.programs);
    const std::string config = seal(to_readconfig(qemu_sections(vm, files, host.accelerator())));
    make_folders(files.folder);
    create_overlay(files, vm.disk);
    const Seed seed{vm.uuid,        vm.name,          call.ssh_keys,
                    call.user_data, call.init_script, seed_nics(vm, host.networks)};
    replace_file(files.seed(), seed_iso(seed_files(seed)));
    replace_file(files.serial_log(), "");
    replace_file(files.config(), config);
    write_tap_files(host, vm);
    write_publish_files(host, vm);
    make_folders(host.paths.units, 0755);
    replace_file(host.unit_file(vm.name), unit, 0644);
}

} // namespace capsul
