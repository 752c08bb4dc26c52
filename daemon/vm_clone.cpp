// Copies of VMs: the part of VmService that makes them.
#include "daemon/cloud_init.hpp"
#include "daemon/file_copy.hpp"
#include "daemon/seed_iso.hpp"
#include "daemon/vm_creation.hpp"
#include "daemon/vm_ports.hpp"
#include "daemon/vm_service.hpp"
#include "lib/fd.hpp"

#include <algorithm>

namespace capsul {
namespace {

/// What is the same in the copy.
VmRecord same_hardware(const VmRecord& source, const Name& name) {
    VmRecord vm = source;
    vm.name = name;
    vm.uuid = Uuid::make();
    vm.created = Timestamp::now();
    vm.nics.clear();
    vm.ssh_port = 0;
    vm.publish.clear();
    vm.memory_before.reset();
    return vm;
}

/// On the same networks, with addresses of their own.
std::vector<NicSpec> nics_like(const VmRecord& source) {
    std::vector<NicSpec> nics;
    for (const Nic& nic : source.nics) {
        nics.push_back(NicSpec{nic.network, {}, {}, {}});
    }
    return nics;
}

void require_stopped(const VmPower& power, const Name& name) {
    if (power.is_running(name)) {
        throw Error(ErrorCode::wrong_state, about(name, "is running: a copy is made of a stopped VM"),
                    "stop it first: `capsulctl stop " + name.to_string() + "`");
    }
}

/// Its guest is a new instance to cloud-init, which so gives it an identity of its own and runs user-data
/// again.
std::map<std::string, std::string> seed_of_copy(const VmHost& host, const VmRecord& source,
                                                const VmRecord& vm) {
    constexpr std::size_t most = std::size_t{16} << 20U;
    const fs::path seed = host.files(source).seed();
    try {
        return seed_files_of_copy(files_in_seed_iso(read_file(seed, most)),
                                  Seed{vm.uuid, vm.name, {}, {}, {}, seed_nics(vm, host.networks), true});
    } catch (const Error& error) {
        throw Error(error.code(), about(source.name, seed.string() + ": " + error.what()), error.hint());
    }
}

void copy_disks(const VmHost& host, const VmRecord& source, const VmRecord& copy, Progress& progress) {
    const std::vector<GuestDisk> from = guest_disks(source, host.files(source));
    const std::vector<GuestDisk> to = guest_disks(copy, host.files(copy));
    std::uint64_t total = 1;
    for (const GuestDisk& disk : from) {
        total += allocated_bytes(disk.file).value_or(0);
    }
    std::uint64_t done = 0;
    const auto on_copied = [&](std::uint64_t bytes) {
        done += bytes;
        progress.percent(static_cast<int>(std::min<std::uint64_t>(done * 100 / total, 100)));
        if (progress.cancelled()) {
            throw Error(ErrorCode::unreachable, about(source.name, "capsuld is stopping: copy it again"));
        }
    };
    for (std::size_t i = 0; i < from.size(); ++i) {
        copy_file_sparsely(from[i].file, to[i].file, on_copied);
    }
}

} // namespace

Operation VmService::clone(const VmClone& call) {
    host_.require(call.name);
    check_new(call.to);
    check_publish(call.publish);
    return host_.operations.submit("vm.clone", call.name.to_string(), {}, [this, call](Progress& progress) {
        progress.message("waiting for what is done to the VM");
        Json cloned =
            run_as_action(host_, "vm.clone-copy", call.name, [&] { return make_copy(call, progress); });
        if (call.start) {
            start_made(host_, power_, call.to, "copied", progress);
            cloned["vm"] = encode(view_.show(call.to));
        }
        return cloned;
    });
}

/// The name is claimed at once; what the copy has of networks only when the disks are copied, since nobody
/// may change networks meanwhile.
Json VmService::make_copy(const VmClone& call, Progress& progress) {
    const VmRecord source = host_.store.vms.load(call.name);
    require_no_restore(source);
    require_stopped(power_, call.name);
    std::unique_lock planning(plan_mutex_);
    Claim claim(*this, same_hardware(source, call.to));
    planning.unlock();
    check_new(call.to);
    try {
        write_copy(source, call, claim, progress);
    } catch (...) {
        undo(call.to, progress);
        throw;
    }
    host_.events.add("vm.created", call.to.to_string(), {{"from", call.name.to_string()}});
    return encode(Cloned{view_.show(call.to), source.publish});
}

/// The record last, as for any new VM.
void VmService::write_copy(const VmRecord& source, const VmClone& call, Claim& claim, Progress& progress) {
    progress.message("copying its disks");
    make_folders(host_.paths.vm(call.to));
    copy_disks(host_, source, same_hardware(source, call.to), progress);
    require_stopped(power_, source.name); // nothing keeps `systemctl start` from it
    progress.message("giving it an identity");
    const auto networks = host_.networks.hold();
    const VmRecord vm = [&] {
        const std::lock_guard planning(plan_mutex_);
        VmRecord planned = plan_copy(source, call);
        claim.promise(planned);
        return planned;
    }();
    check_ports_free(vm.name, vm.publish);
    write_files_around_disks(host_, vm, seed_of_copy(host_, source, vm));
    host_.store.vms.save(vm);
    host_.networks.nics_changed(networks_of(vm));
}

/// With plan_mutex_ held.
VmRecord VmService::plan_copy(const VmRecord& source, const VmClone& call) const {
    VmRecord vm = same_hardware(source, call.to);
    vm.publish = call.publish;
    choose_network(vm, nics_like(source));
    return vm;
}

} // namespace capsul
