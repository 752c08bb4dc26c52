#include "daemon/routes.hpp"

namespace capsul {
namespace {

/// A call that is carried out as the VM's next action; `work` gives its result.
template <Call C, class Work>
void add_action(Router& router, const VmHost& host, const char* kind, Work work) {
    router.add<C>([&host, kind, work](const C& call) {
        host.require(call.name);
        return submit_action(host, kind, call.name,
                             [call, work](Progress& progress) { return encode(work(call, progress)); });
    });
}

/// A call that runs beside the VM's actions instead of after them, in the order of a queue of its own if
/// `queue` names one.
template <Call C, class Work>
void add_aside(Router& router, const VmHost& host, const char* kind, const std::string& queue, Work work) {
    router.add<C>([&host, kind, queue, work](const C& call) {
        host.require(call.name);
        const std::string own = queue.empty() ? "" : queue + call.name.to_string();
        return host.operations.submit(kind, call.name.to_string(), own, [call, work](Progress& progress) {
            return encode(work(call, progress));
        });
    });
}

void check_timeout(const VmHost& host, const Name& name, const std::optional<Duration>& timeout) {
    const auto stored = host.store.vms.find(name);
    if (timeout && stored && stored->record && *timeout > stored->record->stop_timeout) {
        throw Error(ErrorCode::invalid,
                    about(name, "timeout: " + timeout->to_string() +
                                    " is longer than the VM's stop_timeout, " +
                                    stored->record->stop_timeout.to_string()),
                    "systemd ends QEMU after stop_timeout; it is chosen with `vm create --stop-timeout`");
    }
}

void add_power(Router& router, Services s) {
    add_action<VmStart>(router, s.host, "vm.start", [s](const VmStart& call, Progress& progress) {
        return s.power.start(call.name, progress);
    });
    add_action<VmStop>(router, s.host, "vm.stop", [s](const VmStop& call, Progress& progress) {
        check_timeout(s.host, call.name, call.timeout);
        return s.power.stop(call.name, call.timeout, call.force, true, progress);
    });
    add_action<VmRestart>(router, s.host, "vm.restart", [s](const VmRestart& call, Progress& progress) {
        check_timeout(s.host, call.name, call.timeout);
        const StopResult stopped = s.power.stop(call.name, call.timeout, call.force, false, progress);
        return StopResult{s.power.start(call.name, progress), stopped.how};
    });
    add_action<VmPause>(router, s.host, "vm.pause",
                        [s](const VmPause& call, Progress&) { return s.power.pause(call.name); });
    add_action<VmResume>(router, s.host, "vm.resume",
                         [s](const VmResume& call, Progress&) { return s.power.resume(call.name); });
    add_aside<VmKill>(router, s.host, "vm.kill", "kill/",
                      [s](const VmKill& call, Progress&) { return s.power.kill(call.name); });
}

void add_guest(Router& router, Services s) {
    add_aside<VmWait>(router, s.host, "vm.wait", "",
                      [s](const VmWait& call, Progress& progress) { return s.guest.wait(call, progress); });
    add_aside<VmExec>(router, s.host, "vm.exec", "",
                      [s](const VmExec& call, Progress& progress) { return s.guest.exec(call, progress); });
    add_aside<VmIp>(router, s.host, "vm.ip", "", [s](const VmIp& call, Progress& progress) {
        return s.guest.addresses(call.name, progress);
    });
    add_aside<VmSsh>(router, s.host, "vm.ssh", "",
                     [s](const VmSsh& call, Progress& progress) { return s.guest.ssh(call.name, progress); });
    router.add<VmLogs>([s](const VmLogs& call) { return s.guest.logs(call); });
    router.add<VmConsole>([s](const VmConsole& call) { return s.guest.console(call.name); });
}

void add_disks(Router& router, Services s) {
    add_action<VmResize>(router, s.host, "vm.resize", [s](const VmResize& call, Progress& progress) {
        return s.disks.resize(call, progress);
    });
    add_action<VmDiskAdd>(router, s.host, "vm.disk-add", [s](const VmDiskAdd& call, Progress& progress) {
        return s.disks.add(call, progress);
    });
    add_action<VmDiskRemove>(
        router, s.host, "vm.disk-remove",
        [s](const VmDiskRemove& call, Progress& progress) { return s.disks.remove(call, progress); });
    add_action<ImagePublish>(
        router, s.host, "image.publish",
        [s](const ImagePublish& call, Progress& progress) { return s.publishing.publish(call, progress); });
    add_aside<VmBackup>(router, s.host, "vm.backup", "", [s](const VmBackup& call, Progress& progress) {
        return s.backups.make(call, progress);
    });
    add_action<VmSnapshotCreate>(
        router, s.host, "vm.snapshot-create",
        [s](const VmSnapshotCreate& call, Progress& progress) { return s.snapshots.create(call, progress); });
    add_action<VmSnapshotRestore>(router, s.host, "vm.snapshot-restore",
                                  [s](const VmSnapshotRestore& call, Progress& progress) {
                                      return s.snapshots.restore(call, progress);
                                  });
    add_action<VmSnapshotDelete>(
        router, s.host, "vm.snapshot-delete",
        [s](const VmSnapshotDelete& call, Progress& progress) { return s.snapshots.remove(call, progress); });
}

} // namespace

Router make_router(Services s) {
    Router router;
    router.add<HostShow>([s](const HostShow&) { return s.machine.show(); });
    router.add<HostDoctor>([s](const HostDoctor&) { return s.machine.doctor(); });

    router.add<ImageList>([s](const ImageList&) { return s.host.images.list(); });
    router.add<ImageSearch>([s](const ImageSearch& call) { return s.pulls.search(call); });
    router.add<ImagePull>([s](const ImagePull& call) { return s.pulls.pull(call); });
    router.add<ImageUpdate>([s](const ImageUpdate& call) { return s.pulls.update(call); });
    router.add<ImageBuild>([s](const ImageBuild& call) { return s.builds.build(call); });
    router.add<ImageShow>([s](const ImageShow& call) { return s.host.images.show(call.name); });
    router.add<UploadFile>([s](const UploadFile& call) { return s.host.images.upload(call); });
    router.add<ImageImport>([s](const ImageImport& call) { return s.host.images.import(call); });
    router.add<ImageExport>([s](const ImageExport& call) { return s.host.images.export_disk(call); });
    router.add<DownloadFile>([s](const DownloadFile& call) { return s.host.images.download(call.id); });
    router.add<ImageRemove>([s](const ImageRemove& call) { return s.host.images.remove(call.name); });
    router.add<ImageTag>([s](const ImageTag& call) { return s.host.images.tag(call); });
    router.add<ImageUntag>([s](const ImageUntag& call) { return s.host.images.untag(call.name); });
    router.add<ImagePin>([s](const ImagePin& call) { return s.host.images.set_pinned(call.name, true); });
    router.add<ImageUnpin>(
        [s](const ImageUnpin& call) { return s.host.images.set_pinned(call.name, false); });
    router.add<ImagePrune>([s](const ImagePrune& call) { return s.host.images.prune(call); });
    router.add<DiskUsageShow>([s](const DiskUsageShow&) { return s.host.images.usage(); });

    router.add<NetworkList>([s](const NetworkList&) { return s.host.networks.list(); });
    router.add<NetworkShow>([s](const NetworkShow& call) { return s.host.networks.show(call.name); });
    router.add<NetworkLeases>([s](const NetworkLeases& call) { return s.host.networks.leases(call.name); });
    router.add<NetworkCreate>([s](const NetworkCreate& call) { return s.host.networks.create(call); });
    router.add<NetworkSet>([s](const NetworkSet& call) { return s.host.networks.set(call); });
    router.add<NetworkStart>([s](const NetworkStart& call) { return s.host.networks.start(call.name); });
    router.add<NetworkStop>([s](const NetworkStop& call) { return s.host.networks.stop(call.name); });
    router.add<NetworkDelete>([s](const NetworkDelete& call) { return s.host.networks.remove(call.name); });
    router.add<NetworkReserve>([s](const NetworkReserve& call) { return s.host.networks.reserve(call); });
    router.add<NetworkRelease>([s](const NetworkRelease& call) { return s.host.networks.release(call); });
    router.add<NetworkJoin>([s](const NetworkJoin& call) { return s.host.networks.join(call); });
    router.add<NetworkExport>([s](const NetworkExport& call) { return s.host.networks.export_vpn(call); });
    router.add<NetworkPeerAdd>([s](const NetworkPeerAdd& call) { return s.host.networks.add_peer(call); });
    router.add<NetworkPeerRemove>(
        [s](const NetworkPeerRemove& call) { return s.host.networks.remove_peer(call); });
    router.add<NetworkInvite>([s](const NetworkInvite& call) { return s.host.networks.invite(call); });
    router.add<NetworkCheck>([s](const NetworkCheck& call) { return s.host.networks.check(call); });
    router.add<NetworkPeerSync>([s](const NetworkPeerSync& call) { return s.host.networks.sync(call); });

    router.add<VmList>([s](const VmList& call) { return s.view.list(call); });
    router.add<VmShow>([s](const VmShow& call) { return s.view.show(call.name); });
    router.add<VmUnit>([s](const VmUnit& call) { return s.view.unit(call.name); });
    router.add<VmCommand>([s](const VmCommand& call) { return s.view.command(call.name); });
    router.add<VmCreate>([s](const VmCreate& call) { return s.vms.create(call); });
    router.add<VmClone>([s](const VmClone& call) { return s.vms.clone(call); });
    router.add<BackupRestore>([s](const BackupRestore& call) { return s.vms.restore(call); });
    router.add<VmDelete>([s](const VmDelete& call) { return s.vms.remove(call.name); });
    router.add<VmNicAdd>([s](const VmNicAdd& call) { return s.vms.add_nic(call); });
    router.add<VmNicRemove>([s](const VmNicRemove& call) { return s.vms.remove_nic(call); });
    add_power(router, s);
    add_disks(router, s);
    add_guest(router, s);

    router.add<OperationList>([s](const OperationList&) { return s.host.operations.list(); });
    router.add<OperationShow>([s](const OperationShow& call) { return s.host.operations.show(call.id); });
    router.add<OperationFollow>(
        [s](const OperationFollow& call) { return s.host.operations.follow(call.id); });
    router.add<EventList>([s](const EventList& call) { return s.host.events.stream(call); });
    return router;
}

} // namespace capsul
