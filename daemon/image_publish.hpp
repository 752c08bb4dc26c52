// Images made of the disks of VMs.
#pragma once

#include "daemon/disk_cleaner.hpp"
#include "daemon/vm_power.hpp"
#include "lib/image_publish.hpp"

#include <functional>

namespace capsul {

/// Thread-safe, as long as only one action of a VM's runs at a time.
class ImagePublishService {
  public:
    ImagePublishService(const VmHost& host, const VmPower& power, const SandboxedTool& tool,
                        const DiskCleaner& cleaner)
        : host_(host), power_(power), tool_(tool), cleaner_(cleaner) {}

    /// As the VM's next action, so that it does not start meanwhile. Throws Error: wrong_state when it runs,
    /// exists when the name is taken, verification when its disk is not laid over the image that its record
    /// names, no_space; nothing is left then.
    ImagePublished publish(const ImagePublish& call, Progress& progress) const;

  private:
    struct Copy;
    [[nodiscard]] NewImage image_of(const VmRecord& vm, const Name& name, Copy copy,
                                    Progress& progress) const;
    [[nodiscard]] Copy flatten(const VmRecord& vm, const fs::path& target, Progress& progress) const;
    void clean(Copy& copy, Bytes size, const std::function<void()>& copy_again, Progress& progress) const;

    const VmHost& host_;
    const VmPower& power_;
    const SandboxedTool& tool_;
    const DiskCleaner& cleaner_;
};

} // namespace capsul
