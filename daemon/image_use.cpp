#include "daemon/image_use.hpp"

#include "daemon/image_files.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>

namespace capsul {
namespace {

using NamesBy = std::map<std::string, std::vector<Name>>;

/// The images, by what a VM's record knows of the one that it was made from.
struct ImagesByContent {
    explicit ImagesByContent(const std::vector<Stored<ImageRecord>>& images) {
        for (const auto& image : images) {
            if (image.record) {
                whole[content_of(image.record->digest, image.record->boot)].push_back(image.name);
                disk[image.record->digest.to_string()].push_back(image.name);
            } else {
                unreadable[image.name.to_string()].push_back(image.name);
            }
        }
    }

    /// Those that the VM may have been made from.
    [[nodiscard]] const std::vector<Name>& candidates(const VmRecord& vm) const {
        static const std::vector<Name> none;
        const auto same = whole.find(content_of(vm.image_digest, vm.boot));
        if (same != whole.end()) {
            return same->second;
        }
        // The kernel's command line may have been changed by hand since: then the disk alone tells.
        const auto same_disk = disk.find(vm.image_digest.to_string());
        if (same_disk != disk.end()) {
            return same_disk->second;
        }
        const auto same_name = unreadable.find(vm.image.to_string());
        return same_name == unreadable.end() ? none : same_name->second;
    }

    NamesBy whole;
    NamesBy disk;
    NamesBy unreadable;
};

std::vector<Name> images_of(const VmRecord& vm, const ImagesByContent& images) {
    const std::vector<Name>& candidates = images.candidates(vm);
    const bool named = std::ranges::find(candidates, vm.image) != candidates.end();
    return named ? std::vector{vm.image} : candidates;
}

} // namespace

std::string content_of(const Digest& disk, const std::optional<DirectKernel>& boot) {
    if (!boot) {
        return disk.to_string();
    }
    return fmt::format("{} {} {} {}", disk.to_string(), boot->kernel.to_string(),
                       boot->initrd ? boot->initrd->to_string() : "-", boot->cmdline);
}

ImageUse::ImageUse(Store& store) {
    const auto images = store.images.list();
    for (const auto& image : images) {
        const auto its_files =
            image.record ? files_of(image.record->digest, image.record->boot) : std::set<std::string>();
        for (const std::string& file : its_files) {
            ++files[file];
        }
    }
    for (const auto& alias : store.aliases.list()) {
        if (alias.record) {
            aliases[alias.record->image].push_back(alias.name);
        }
    }
    const ImagesByContent by_content(images);
    for (const auto& vm : store.vms.list()) {
        for (const Name& image : vm.record ? images_of(*vm.record, by_content) : std::vector<Name>()) {
            vms[image].push_back(vm.name);
        }
    }
}

const std::vector<Name>& ImageUse::of(const std::map<Name, std::vector<Name>>& all, const Name& image) {
    static const std::vector<Name> none;
    const auto found = all.find(image);
    return found == all.end() ? none : found->second;
}

} // namespace capsul
