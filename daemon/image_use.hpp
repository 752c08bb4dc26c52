// Who needs an image: which VMs are made from it, which aliases point at it, which of its files others have
// too.
#pragma once

#include "daemon/store.hpp"

#include <map>
#include <string>
#include <vector>

namespace capsul {

/// Two images of one content (disk and kernel) differ in their names only.
[[nodiscard]] std::string content_of(const Digest& disk, const std::optional<DirectKernel>& boot);

/// As it is at one moment.
struct ImageUse {
    explicit ImageUse(Store& store);

    /// By content, since an alias may have moved on after a VM was made from it. Where several images have
    /// the VM's content, it is that which the VM names, or else each of them.
    std::map<Name, std::vector<Name>> vms;
    std::map<Name, std::vector<Name>> aliases; ///< also of images that are not there
    std::map<std::string, int> files;          ///< how many images have a file

    [[nodiscard]] const std::vector<Name>& vms_of(const Name& image) const { return of(vms, image); }
    [[nodiscard]] const std::vector<Name>& aliases_of(const Name& image) const { return of(aliases, image); }

  private:
    [[nodiscard]] static const std::vector<Name>& of(const std::map<Name, std::vector<Name>>& all,
                                                     const Name& image);
};

} // namespace capsul
