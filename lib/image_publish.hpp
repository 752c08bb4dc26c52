// Images that are made of VMs' disks.
#pragma once

#include "lib/vm.hpp"

#include <optional>
#include <string>
#include <vector>

namespace capsul {

struct ImagePublished {
    Image image;
    std::vector<DiskName> left_out; ///< the VM's data disks, which are not in the image
    /// Why virt-sysprep, which is installed, could not clean it.
    std::optional<std::string> not_cleaned = {};
    static constexpr auto fields() {
        return field_list(required("image", &ImagePublished::image),
                          required("left_out", &ImagePublished::left_out),
                          optional("not_cleaned", &ImagePublished::not_cleaned));
    }
};

/// Makes an image of the first disk of a stopped VM as it is now, with the VM's own kernel if it has one.
/// VMs made from it get an identity of their own at their first boot; where virt-sysprep is installed, that
/// of this VM is not even in the image.
struct ImagePublish {
    Name name;  ///< the VM
    Name image; ///< that is to be
    using Result = ImagePublished;
    static constexpr Route route{Method::post, "/v1/vms/{name}/publish", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &ImagePublish::name), required("image", &ImagePublish::image));
    }
};

} // namespace capsul
