// VMs from backups: the part of VmService that makes them.
#include "daemon/backup_unpack.hpp"
#include "daemon/cloud_init.hpp"
#include "daemon/guest_identity.hpp"
#include "daemon/image_files.hpp"
#include "daemon/own_folder.hpp"
#include "daemon/port.hpp"
#include "daemon/upload_file.hpp"
#include "daemon/vm_creation.hpp"
#include "daemon/vm_limits.hpp"
#include "daemon/vm_ports.hpp"
#include "daemon/vm_publish.hpp"
#include "daemon/vm_service.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

/// What a backup says of the machine itself; the rest is planned.
VmRecord machine_of(const BackupManifest& manifest, const BackupRestore& call) {
    VmRecord vm = manifest.vm;
    vm.nics.clear();
    vm.publish.clear();
    vm.ssh_port = 0;
    if (call.as) {
        vm.name = *call.as;
        vm.uuid = Uuid::make();
        vm.created = Timestamp::now();
    }
    return vm;
}

void require_own_uuid(const VmRecord& vm, const OtherVms& others) {
    for (const auto& other : others) {
        if (other->uuid == vm.uuid) {
            throw Error(ErrorCode::in_use,
                        about(vm.name, "the VM " + other->name.to_string() + " is the very machine already"),
                        "--as NAME makes it another machine");
        }
    }
}

/// A mistake in --network would otherwise go unseen.
void check_changes(const std::vector<NetworkChange>& changes, const VmRecord& saved) {
    for (const NetworkChange& change : changes) {
        if (std::ranges::find(saved.nics, change.from, &Nic::network) == saved.nics.end()) {
            throw Error(ErrorCode::invalid, fmt::format("networks: the VM in the backup has no NIC on {}",
                                                        change.from.to_string()));
        }
    }
}

NicSpec wanted_nic(const Nic& saved, const BackupRestore& call) {
    NicSpec nic{saved.network, {}, {}, {}};
    const auto change = std::ranges::find(call.networks, saved.network, &NetworkChange::from);
    if (change != call.networks.end()) {
        nic.network = change->to;
    }
    if (!call.as) {
        nic.mac = saved.mac;
    }
    if (!call.as && nic.network == saved.network) {
        nic.ip = saved.ip;
        nic.ip6 = saved.ip6;
    }
    return nic;
}

/// What may be done about a NIC that this host cannot give it.
Error explained(const Error& error, const Name& network, const BackupRestore& call) {
    if (error.code() == ErrorCode::not_found) {
        return {error.code(), error.what(),
                fmt::format("make it first: `capsulctl network create`; or --network {}=NAME takes another",
                            network.to_string())};
    }
    const bool is_taken = error.code() == ErrorCode::in_use || error.code() == ErrorCode::invalid;
    return is_taken && !call.as ? Error(error.code(), error.what(),
                                        "--as NAME makes it another machine, with addresses of its own")
                                : error;
}

/// One at a time, since each goes to the slot that it had.
void plug_in(VmRecord& vm, const VmRecord& saved, const BackupRestore& call, NetworkService& networks,
             const OtherVms& others) {
    for (const Nic& nic : saved.nics) {
        const std::vector<Nic> before = vm.nics;
        const NicSpec wanted = wanted_nic(nic, call);
        try {
            add_nics(vm, {wanted}, networks, others);
        } catch (const Error& error) {
            throw explained(error, wanted.network, call);
        }
        const auto newest = std::ranges::find_if(
            vm.nics, [&](const Nic& each) { return std::ranges::find(before, each) == before.end(); });
        newest->slot = nic.slot;
        std::ranges::sort(vm.nics, {}, &Nic::slot);
    }
}

Error lacks_image(const BackupManifest& manifest) {
    return {ErrorCode::not_found,
            about(manifest.vm.name,
                  fmt::format("its image {} ({}) is neither here nor in the backup",
                              manifest.image.to_string(), manifest.vm.image_digest.to_string())),
            "import or pull that image first, the very same"};
}

const BackupMember& member_called(const BackupManifest& manifest, const char* name) {
    return *std::ranges::find(manifest.members, name, &BackupMember::name);
}

/// What it is called on this host. Never what a source or a user calls an image: a name in an archive is
/// what somebody else wished it to be taken for.
Name new_image_name(Store& store, const BackupManifest& manifest) {
    constexpr std::string_view prefix = "restored-";
    constexpr std::size_t longest = 54; // with a digest after it
    std::string text = manifest.image.to_string();
    if (!text.starts_with(prefix)) {
        text.insert(0, prefix);
    }
    text.resize(std::min(text.size(), longest));
    while (text.back() == '-') {
        text.pop_back();
    }
    Name name = Name::parse(text);
    if (!store.images.exists(name) && !store.aliases.exists(name)) {
        return name;
    }
    return Name::parse(
        fmt::format("{}-{}", text, member_called(manifest, backup_image_file).digest.hex().substr(0, 8)));
}

/// Where the VM was given a new identity, what it is made from may be another machine's disk: so are those
/// that will be made from it.
std::optional<PublishedFrom> published_from(const BackupManifest& manifest) {
    const auto vendor = manifest.seed.find("vendor-data");
    const bool is_new = vendor != manifest.seed.end() && has_new_identity(vendor->second);
    return is_new ? std::optional(PublishedFrom{manifest.vm.name, manifest.image, true}) : std::nullopt;
}

NewImage image_in(const fs::path& folder, const BackupManifest& manifest, const Name& name) {
    const auto claimed = [&](const char* file) {
        return ClaimedFile{TemporaryFile(folder / file), member_called(manifest, file).digest};
    };
    NewImage image{.name = name,
                   .disk = claimed(backup_image_file),
                   .kernel = {},
                   .initrd = {},
                   .cmdline = {},
                   .origin = {},
                   .published = published_from(manifest),
                   .alias = {}};
    if (manifest.vm.boot) {
        image.kernel = claimed(backup_kernel_file);
        image.cmdline = manifest.vm.boot->cmdline;
    }
    if (manifest.vm.boot && manifest.vm.boot->initrd) {
        image.initrd = claimed(backup_initrd_file);
    }
    return image;
}

/// The image that a VM from this backup is made from, if it is here. The digest of one that was converted
/// when it was imported cannot be told from its file: on a host that has got it from a backup it is known by
/// the file's.
std::optional<Name> image_here(ImageService& images, const BackupManifest& manifest) {
    auto found = images.with_content(manifest.vm.image_digest, manifest.vm.boot);
    if (!found && has_image(manifest)) {
        found = images.with_content(member_called(manifest, backup_image_file).digest, manifest.vm.boot);
    }
    if (!found && !has_image(manifest)) {
        throw lacks_image(manifest);
    }
    return found;
}

/// By the name that was found somebody may have made another one meanwhile.
void require_its_image(const HeldImage& held, const BackupManifest& manifest) {
    const ImageRecord& image = held.record;
    const bool is_same_disk =
        image.digest == manifest.vm.image_digest ||
        (has_image(manifest) && image.digest == member_called(manifest, backup_image_file).digest);
    if (!is_same_disk || files_of(image.digest, image.boot) != files_of(image.digest, manifest.vm.boot)) {
        throw Error(ErrorCode::in_use,
                    about(manifest.vm.name, fmt::format("its image {} was replaced while it was restored",
                                                        image.name.to_string())),
                    "restore it again");
    }
}

void move_disks(const fs::path& folder, const VmFiles& files, const VmRecord& vm) {
    for (const GuestDisk& disk : guest_disks(vm, files)) {
        fs::rename(folder / disk.file.filename(), disk.file);
    }
    sync_folder(files.folder);
}

bool is_free(const PublishedPort& port, const OtherVms& others) {
    const bool is_promised = std::ranges::any_of(others, [&](const auto& other) {
        return std::ranges::any_of(all_ports(*other),
                                   [&](const PublishedPort& taken) { return taken.clashes_with(port); });
    });
    return !is_promised && try_bind(port) == 0;
}

/// Whether its NICs on this host can carry the port.
bool leads_to_guest(const PublishedPort& port, VmRecord vm, NetworkService& networks) {
    vm.publish = {port};
    try {
        check_publish(vm, networks);
        return true;
    } catch (const Error& error) {
        if (error.code() != ErrorCode::invalid) {
            throw;
        }
        return false;
    }
}

} // namespace

Operation VmService::restore(const BackupRestore& call) {
    const auto archive =
        std::make_shared<const ClaimedFile>(claim_upload(host_.paths.uploads(), call.archive));
    check_publish(call.publish);
    if (call.as) {
        check_new(*call.as);
    }
    const std::string target = call.as ? call.as->to_string() : call.archive.to_string();
    return host_.operations.submit("vm.restore", target, {}, [this, call, archive](Progress& progress) {
        return encode(make_from_backup(archive->file.path(), call, progress));
    });
}

/// What can be refused is refused before anything is unpacked. What is made of the image is an image as any
/// other, and its making is a step of its own: a crash right after it leaves that. Images may go while it is
/// unpacked, so that its own is looked for once more.
FromBackup VmService::make_from_backup(const fs::path& archive, const BackupRestore& call,
                                       Progress& progress) {
    // Swept at the start, as what is made there.
    const OwnFolder folder(host_.paths.downloads() / (Uuid::make().to_string() + ".claimed"));
    const BackupManifest manifest = read_backup_manifest(host_.tool, archive, folder.path(), progress);
    const Name name = call.as.value_or(manifest.vm.name);
    check_restorable(manifest, call, name);
    static_cast<void>(image_here(host_.images, manifest));
    const auto claim = claim_restored(manifest, call);
    check_new(name); // one that was being made may be there by now
    unpack_backup(host_.tool, archive, manifest, folder.path(), progress);
    check_backup_disks(host_.tool, manifest.vm, folder.path(), host_.config.image.max_size, progress);
    std::optional<Name> made;
    std::vector<PublishedPort> left_out;
    try {
        const auto here = image_here(host_.images, manifest);
        if (!here) {
            const Name wanted = new_image_name(host_.store, manifest);
            made = host_.images.make(image_in(folder.path(), manifest, wanted), progress).name;
        }
        progress.message("making the VM");
        const HeldImage held = host_.images.hold(here ? *here : *made);
        require_its_image(held, manifest);
        lay_over(host_.tool, manifest.vm, folder.path(), host_.images.disk_path(held.record.digest),
                 progress);
        left_out = write_restored(manifest, call, folder.path(), held.record.name, *claim);
    } catch (...) {
        undo(name, progress);
        if (made) {
            host_.images.take_back(*made, progress);
        }
        throw;
    }
    host_.events.add("vm.created", name.to_string(), {{"backup_of", manifest.vm.name.to_string()}});
    if (call.start) {
        start_made(host_, power_, name, "restored", progress);
    }
    return {view_.show(name), manifest.created, manifest.consistency, made, left_out};
}

void VmService::check_restorable(const BackupManifest& manifest, const BackupRestore& call,
                                 const Name& name) const {
    try {
        check_new(name);
    } catch (const Error& error) {
        throw error.code() == ErrorCode::exists && !call.as
            ? Error(error.code(), error.what(), "--as NAME makes it another machine beside that one")
            : error;
    }
    check_memory(manifest.vm.memory);
    check_publish(manifest.vm.publish);
    check_changes(call.networks, manifest.vm);
    require_qemu();
}

/// Its name, ports and addresses, from now on.
std::unique_ptr<VmService::Claim> VmService::claim_restored(const BackupManifest& manifest,
                                                            const BackupRestore& call) {
    const auto networks = host_.networks.hold();
    const std::lock_guard planning(plan_mutex_);
    return std::make_unique<Claim>(*this, plan_restored(manifest, call).vm);
}

/// With plan_mutex_ held.
VmService::RestorePlan VmService::plan_restored(const BackupManifest& manifest,
                                                const BackupRestore& call) const {
    RestorePlan plan{machine_of(manifest, call), {}};
    const OtherVms present = others(plan.vm.name);
    require_own_uuid(plan.vm, present);
    plug_in(plan.vm, manifest.vm, call, host_.networks, present);
    if (!call.publish.empty()) {
        plan.vm.publish = call.publish;
    } else {
        for (const PublishedPort& port : manifest.vm.publish) {
            const bool stays =
                !call.as && is_free(port, present) && leads_to_guest(port, plan.vm, host_.networks);
            (stays ? plan.vm.publish : plan.left_out).push_back(port);
        }
    }
    choose_ports(plan.vm, present);
    return plan;
}

/// The record last, as for any new VM. The ports that it does not publish any more. With the image held.
std::vector<PublishedPort> VmService::write_restored(const BackupManifest& manifest,
                                                     const BackupRestore& call, const fs::path& folder,
                                                     const Name& image, Claim& claim) {
    const auto networks = host_.networks.hold();
    RestorePlan plan = [&] {
        const std::lock_guard planning(plan_mutex_);
        RestorePlan planned = plan_restored(manifest, call);
        claim.promise(planned.vm);
        return planned;
    }();
    VmRecord& vm = plan.vm;
    vm.image = image;
    vm.image_digest = host_.images.usable(image).digest;
    check_ports_free(vm.name, vm.publish);
    make_folders(host_.paths.vm(vm.name));
    move_disks(folder, host_.files(vm), vm);
    const Seed seed{vm.uuid, vm.name, {}, {}, {}, seed_nics(vm, host_.networks), call.as.has_value()};
    write_files_around_disks(host_, vm, seed_files_of_copy(manifest.seed, seed));
    host_.store.vms.save(vm);
    host_.networks.nics_changed(networks_of(vm));
    return plan.left_out;
}

} // namespace capsul
