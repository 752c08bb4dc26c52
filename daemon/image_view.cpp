#include "daemon/image_view.hpp"

#include "daemon/file_copy.hpp"
#include "daemon/image_files.hpp"
#include "daemon/image_names.hpp"
#include "daemon/known_catalogue.hpp"
#include "lib/catalogue_search.hpp"

#include <algorithm>
#include <set>
#include <span>
#include <sys/stat.h>
#include <sys/statvfs.h>

namespace capsul {
namespace {

std::set<std::string> files_of(const ImageRecord& record) {
    return capsul::files_of(record.digest, record.boot);
}

/// Adds up files of one folder, each counted once over all shares.
class Counter {
  public:
    explicit Counter(fs::path folder) : folder_(std::move(folder)) {}
    void add(Share& share, const std::set<std::string>& files) {
        for (const std::string& file : files) {
            if (counted_.insert(file).second) {
                share.size += allocated_bytes(folder_ / file).value_or(0);
            }
        }
    }

  private:
    fs::path folder_;
    std::set<std::string> counted_;
};

/// All files in `folder` whose name ends so.
Share share_of(const fs::path& folder, std::string_view suffix) {
    Share share;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
        std::error_code gone;
        if (entry.path().native().ends_with(suffix) && entry.is_regular_file(gone)) {
            ++share.count;
            share.size += allocated_bytes(entry.path()).value_or(0);
        }
    }
    return share;
}

void add(Share& all, const Share& some) {
    all.count += some.count;
    all.size += some.size;
}

Share vm_disks(const Paths& paths, Store& store) {
    Share all;
    for (const auto& vm : store.vms.list()) {
        add(all, share_of(paths.vm(vm.name), ".qcow2"));
    }
    return all;
}

Share downloads(const Paths& paths) {
    Share all;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(paths.fetches(), missing)) {
        add(all, share_of(entry.path(), "/data.part"));
        add(all, share_of(entry.path(), "/disk"));
    }
    return all;
}

/// Which part of the whole an image is.
Share& part_of(DiskUsage& usage, const Stored<ImageRecord>& image, const ImageUse& use) {
    if (!use.vms_of(image.name).empty()) {
        return usage.in_use;
    }
    if (image.record && image.record->pinned) {
        return usage.pinned;
    }
    return use.aliases_of(image.name).empty() ? usage.unused : usage.aliased;
}

void count_images(DiskUsage& usage, Store& store, Counter& counter) {
    const ImageUse use(store);
    const auto images = store.images.list();
    for (Share* const part : {&usage.in_use, &usage.pinned, &usage.aliased, &usage.unused}) {
        for (const auto& image : images) {
            if (&part_of(usage, image, use) == part) {
                ++part->count;
                counter.add(*part, image.record ? files_of(*image.record) : std::set<std::string>());
            }
        }
        usage.images.count += part->count;
        usage.images.size += part->size;
    }
}

void measure_disk(DiskUsage& usage, const fs::path& folder) {
    struct statvfs status {};
    if (::statvfs(folder.c_str(), &status) != 0) {
        throw_errno(errno, folder.string());
    }
    usage.free = std::uint64_t{status.f_bavail} * status.f_frsize;
    usage.capacity = std::uint64_t{status.f_blocks} * status.f_frsize;
}

/// The catalogue is read only when some image is from it.
void tell_newer(const Paths& paths, std::span<Image> images) {
    std::optional<Catalogue> catalogue;
    for (Image& image : images) {
        if (image.origin && image.origin->entry) {
            if (!catalogue) {
                catalogue = known_catalogue(paths).catalogue;
            }
            if (const auto newer = newer_version(*catalogue, *image.origin, host_architecture())) {
                image.newer = newer->to_string();
            }
        }
    }
}

} // namespace

std::vector<Image> ImageView::list() const {
    const ImageUse use(store_);
    std::vector<Image> images;
    for (const auto& stored : store_.images.list()) {
        images.push_back(show(stored, use));
    }
    for (const auto& alias : store_.aliases.list()) {
        if (!alias_problem(store_, alias).empty()) {
            images.push_back(show(alias));
        }
    }
    std::ranges::stable_sort(images, {}, &Image::name);
    tell_newer(paths_, images);
    return images;
}

Image ImageView::show(const Name& name) const {
    if (const auto stored = store_.images.find(name)) {
        Image image = show(*stored, ImageUse(store_));
        tell_newer(paths_, {&image, 1});
        return image;
    }
    const auto alias = store_.aliases.find(name);
    if (!alias) {
        throw no_such_image(store_, name);
    }
    return alias_problem(store_, *alias).empty() ? show(alias->record->image) : show(*alias);
}

Image ImageView::show(const Stored<ImageRecord>& stored, const ImageUse& use) const {
    Image image;
    image.name = stored.name;
    image.aliases = use.aliases_of(stored.name);
    image.vms = use.vms_of(stored.name);
    if (!stored.record) {
        image.broken = stored.broken;
        return image;
    }
    const ImageRecord& record = *stored.record;
    if (std::string missing = missing_file(paths_.images(), record); !missing.empty()) {
        image.broken = std::move(missing);
    }
    image.digest = record.digest;
    image.size = record.size;
    image.disk_usage = allocated_bytes(paths_.images() / disk_file_name(record.digest));
    image.unique = image.shared = 0;
    for (const std::string& file : files_of(record)) {
        const auto found = use.files.find(file);
        const bool others_have_it = found != use.files.end() && found->second > 1;
        *(others_have_it ? image.shared : image.unique) +=
            allocated_bytes(paths_.images() / file).value_or(0);
    }
    image.imported = record.imported;
    if (image.vms.empty()) {
        image.unused_since = unused_since(record);
    }
    image.pinned = record.pinned;
    image.boot = record.boot;
    image.origin = record.origin;
    return image;
}

Image ImageView::show(const Stored<AliasRecord>& alias) const {
    Image image;
    image.name = alias.name;
    if (alias.record) {
        image.alias_of = alias.record->image;
    }
    if (std::string problem = alias_problem(store_, alias); !problem.empty()) {
        image.broken = std::move(problem);
    }
    return image;
}

DiskUsage ImageView::usage() const {
    DiskUsage usage;
    Counter counter(paths_.images());
    for (const auto& vm : store_.vms.list()) { // also what VMs alone know of
        if (vm.record) {
            counter.add(usage.in_use, capsul::files_of(vm.record->image_digest, vm.record->boot));
        }
    }
    count_images(usage, store_, counter);
    usage.uploads = share_of(paths_.uploads(), "");
    usage.downloads = downloads(paths_);
    usage.vm_disks = vm_disks(paths_, store_);
    measure_disk(usage, paths_.images());
    return usage;
}

Timestamp ImageView::unused_since(const ImageRecord& record) const {
    struct stat status {};
    if (::stat((paths_.images() / disk_file_name(record.digest)).c_str(), &status) != 0) {
        return record.imported;
    }
    // When a VM goes its image's file gets a new time: see ImageService::touch.
    const Timestamp left(std::chrono::sys_seconds(std::chrono::seconds(status.st_mtim.tv_sec)));
    return std::max(left, record.imported);
}

} // namespace capsul
