#include "daemon/image_publish.hpp"

#include "daemon/disk_file.hpp"
#include "daemon/file_digest.hpp"
#include "daemon/image_check.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sys/stat.h>

namespace capsul {
namespace {

/// What a VM with a kernel of its own boots: links to the files of the image that it was made from.
struct BootFiles {
    std::optional<ClaimedFile> kernel;
    std::optional<ClaimedFile> initrd;
};

void require_stopped(const VmPower& power, const Name& name) {
    if (power.is_running(name)) {
        throw Error(ErrorCode::wrong_state,
                    about(name, "is running: an image is made of the disk of a stopped VM"),
                    "stop it first: `capsulctl stop " + name.to_string() + "`");
    }
}

/// A base is known by its digest, which is what its file is called: in which folder it was when the disk was
/// made means nothing, and the file is opened where images are.
void require_own_base(const Name& name, const VmFiles& files) {
    if (base_of_disk(files.disk()).filename() != files.base.filename()) {
        throw Error(ErrorCode::verification,
                    about(name, "its disk is not laid over the image that its record names"),
                    fmt::format("`qemu-img info -U {}` tells what it is laid over", files.disk().string()));
    }
}

/// Before as much is written.
void require_allowed(const Name& name, Bytes size, Bytes most) {
    if (size > most) {
        throw Error(ErrorCode::too_large,
                    about(name, fmt::format("its disk has {}, more than the {} allowed", size.to_string(),
                                            most.to_string())),
                    "max_size under [image] in capsuld.toml is the limit");
    }
}

/// A name that no upload has, and that the next start sweeps.
fs::path new_file(const fs::path& folder) {
    return folder / (Uuid::make().to_string() + ".claimed");
}

ClaimedFile linked(const fs::path& file, const Digest& digest, const fs::path& folder) {
    TemporaryFile link(new_file(folder));
    fs::create_hard_link(file, link.path());
    return {std::move(link), digest};
}

BootFiles boot_files(const ImageService& images, const VmRecord& vm, const fs::path& folder) {
    BootFiles files;
    if (vm.boot) {
        files.kernel = linked(images.kernel_path(vm.boot->kernel), vm.boot->kernel, folder);
    }
    if (vm.boot && vm.boot->initrd) {
        files.initrd = linked(images.initrd_path(*vm.boot->initrd), *vm.boot->initrd, folder);
    }
    return files;
}

Digest digest_of(const fs::path& file, Progress& progress) {
    const std::uint64_t size = std::max<std::uint64_t>(fs::file_size(file), 1);
    const std::string hex = sha256_of_file(file, [&](std::uint64_t done) {
        progress.percent(static_cast<int>(std::min(done, size) * 100 / size));
        if (progress.cancelled()) {
            throw Error(ErrorCode::unreachable, "capsuld is stopping: publish it again");
        }
    });
    return Digest::parse("sha256:" + hex);
}

/// Which nobody can set, unlike the time when it was last written.
timespec changed_at(const fs::path& file) {
    struct stat about {};
    if (::stat(file.c_str(), &about) != 0) {
        throw_errno(errno, file.string());
    }
    return about.st_ctim;
}

std::vector<DiskName> names_of(const std::vector<DataDisk>& disks) {
    std::vector<DiskName> names;
    for (const DataDisk& disk : disks) {
        names.push_back(disk.name);
    }
    return names;
}

} // namespace

/// Of a VM's disk.
struct ImagePublishService::Copy {
    TemporaryFile file;
    bool cleaned = false;
    std::optional<std::string> not_cleaned{};
};

ImagePublished ImagePublishService::publish(const ImagePublish& call, Progress& progress) const {
    const VmRecord vm = host_.store.vms.load(call.name);
    require_no_restore(vm);
    require_stopped(power_, call.name);
    host_.images.require_unused(call.image); // now rather than after the minutes that copying takes
    make_folders(host_.paths.uploads());
    Copy copy = flatten(vm, new_file(host_.paths.uploads()), progress);
    const auto not_cleaned = copy.not_cleaned;
    Image image = host_.images.make(image_of(vm, call.image, std::move(copy), progress), progress);
    host_.events.add("image.published", call.image.to_string(), {{"vm", call.name.to_string()}});
    return {std::move(image), names_of(vm.disks), not_cleaned};
}

NewImage ImagePublishService::image_of(const VmRecord& vm, const Name& name, Copy copy,
                                       Progress& progress) const {
    progress.message("computing its digest");
    const Digest digest = digest_of(copy.file.path(), progress);
    BootFiles boot = boot_files(host_.images, vm, host_.paths.uploads());
    return {.name = name,
            .disk = ClaimedFile{std::move(copy.file), digest},
            .kernel = std::move(boot.kernel),
            .initrd = std::move(boot.initrd),
            .cmdline = vm.boot ? vm.boot->cmdline : "",
            .origin = {},
            .published = PublishedFrom{vm.name, vm.image, true, copy.cleaned},
            .alias = {}};
}

/// The disk with what it is laid over in one file. A guest that had broken out of its QEMU could have written
/// anything into it: so only a program in a sandbox opens it, and what becomes of it is checked.
ImagePublishService::Copy ImagePublishService::flatten(const VmRecord& vm, const fs::path& target,
                                                       Progress& progress) const {
    const VmFiles files = host_.files(vm);
    require_own_base(vm.name, files);
    const Bytes size = size_of_disk(files.disk());
    require_allowed(vm.name, size, host_.config.image.max_size);
    const QemuImg qemu_img(tool_, [&progress] { return progress.cancelled(); });
    const DiskFile source{ImageFormat::qcow2, files.disk(), files.base};
    progress.message("looking at what is on its disk");
    check_free_space(target.parent_path(), qemu_img.size_as_qcow2(source), "publishing the disk");
    Copy copy{TemporaryFile(target)};
    const auto make = [&] {
        progress.message("copying its disk");
        qemu_img.convert(source, "qcow2", {}, target, size.count(),
                         [&progress](int percent) { progress.percent(percent); });
        check_converted_disk(target, size);
    };
    make();
    clean(copy, size, make, progress);
    return copy;
}

/// Where that fails, the copy is as it was.
void ImagePublishService::clean(Copy& copy, Bytes size, const std::function<void()>& copy_again,
                                Progress& progress) const {
    if (!cleaner_.is_installed()) {
        return;
    }
    progress.message("removing from the copy what makes it this VM's");
    const fs::path& file = copy.file.path();
    const timespec copied = changed_at(file);
    try {
        cleaner_.clean(file, size, host_.accelerator(), [&progress] { return progress.cancelled(); });
        check_converted_disk(file, size);
        copy.cleaned = true;
    } catch (const Error& error) {
        if (progress.cancelled()) {
            throw;
        }
        copy.not_cleaned = error.what() + (error.hint().empty() ? "" : " (" + error.hint() + ")");
    }
    const timespec now = changed_at(file);
    if (!copy.cleaned && (now.tv_sec != copied.tv_sec || now.tv_nsec != copied.tv_nsec)) {
        std::error_code told_by_the_copy;
        fs::remove(file, told_by_the_copy);
        copy_again();
    }
}

} // namespace capsul
