// The index of the API: which function answers which call.
#pragma once

#include "daemon/host_service.hpp"
#include "daemon/image_build.hpp"
#include "daemon/image_publish.hpp"
#include "daemon/image_pull.hpp"
#include "daemon/router.hpp"
#include "daemon/vm_backup.hpp"
#include "daemon/vm_disks.hpp"
#include "daemon/vm_service.hpp"
#include "daemon/vm_snapshots.hpp"

namespace capsul {

struct Services {
    VmHost& host;
    VmView& view;
    VmPower& power;
    VmGuest& guest;
    VmService& vms;
    VmDisks& disks;
    VmSnapshots& snapshots;
    VmBackups& backups;
    HostService& machine;
    ImagePullService& pulls;
    ImageBuildService& builds;
    ImagePublishService& publishing;
};

/// The services must outlive the router.
[[nodiscard]] Router make_router(Services services);

} // namespace capsul
