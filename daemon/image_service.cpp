#include "daemon/image_service.hpp"

#include "daemon/disk_export.hpp"
#include "daemon/disk_import.hpp"
#include "daemon/download_file.hpp"
#include "daemon/image_check.hpp"
#include "daemon/image_files.hpp"
#include "daemon/upload_file.hpp"
#include "lib/fd.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <sys/stat.h>

namespace capsul {
namespace {

constexpr std::chrono::hours upload_life{1};
constexpr std::size_t most_names = 10; ///< that an error lists

std::string join_names(const std::vector<Name>& names, const char* separator) {
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), most_names); ++i) {
        text += (i == 0 ? "" : separator) + names[i].to_string();
    }
    return names.size() > most_names ? fmt::format("{} and {} more", text, names.size() - most_names) : text;
}

[[noreturn]] void throw_not_found(const Name& name, Records<ImageRecord>& images) {
    std::vector<Name> names;
    for (const auto& stored : images.list()) {
        names.push_back(stored.name);
    }
    throw Error(ErrorCode::not_found, fmt::format("image {}: does not exist", name.to_string()),
                names.empty() ? "there is none yet: `capsulctl image import NAME FILE` makes one"
                              : "images there are: " + join_names(names, ", "));
}

/// The VMs of each image, by the image's name.
std::map<Name, std::vector<Name>> vms_by_image(Records<VmRecord>& vms) {
    std::map<Name, std::vector<Name>> found;
    for (const auto& vm : vms.list()) {
        if (vm.record) {
            found[vm.record->image].push_back(vm.name);
        }
    }
    return found;
}

std::optional<std::uint64_t> disk_usage(const fs::path& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

bool same_boot(const std::optional<DirectKernel>& a, const std::optional<DirectKernel>& b) {
    return a.has_value() == b.has_value() &&
           (!a || (a->kernel == b->kernel && a->initrd == b->initrd && a->cmdline == b->cmdline));
}

} // namespace

/// Gone with whatever happens to the import.
struct ImageService::Uploads {
    Uploads(const fs::path& folder, const ImageImport& call)
        : disk(claim(folder, call.disk)), kernel(claim(folder, call.kernel)),
          initrd(claim(folder, call.initrd)) {
        if (missing) { // only now, so that those that are there go too
            throw *missing;
        }
    }
    [[nodiscard]] std::optional<DirectKernel> boot(const ImageImport& call) const {
        if (!kernel) {
            return std::nullopt;
        }
        return DirectKernel{kernel->digest, initrd ? std::optional(initrd->digest) : std::nullopt,
                            call.cmdline.value_or("")};
    }

    std::optional<Error> missing;
    std::optional<ClaimedFile> disk;
    std::optional<ClaimedFile> kernel;
    std::optional<ClaimedFile> initrd;

  private:
    std::optional<ClaimedFile> claim(const fs::path& folder, const std::optional<Uuid>& id) {
        try {
            return id ? std::optional(claim_upload(folder, *id)) : std::nullopt;
        } catch (const Error& error) {
            missing = error;
            return std::nullopt;
        }
    }
};

ImageService::ImageService(const Paths& paths, const ImageConfig& config, const SandboxedTool& tool,
                           Store& store, OperationService& operations, EventLog& events)
    : paths_(paths), config_(config), tool_(tool), store_(store), operations_(operations), events_(events) {}

void ImageService::sweep() {
    tool_.sweep();
    remove_whole(paths_.downloads());
    make_folders(paths_.downloads());
    make_folders(paths_.images());
    make_folders(paths_.uploads());
    clear_uploads(paths_.uploads());
    remove_unnamed_files();
}

std::vector<Image> ImageService::list() {
    auto vms = vms_by_image(store_.vms);
    std::vector<Image> images;
    for (const auto& stored : store_.images.list()) {
        images.push_back(to_image(stored, vms[stored.name]));
    }
    return images;
}

Image ImageService::show(const Name& name) {
    const auto stored = store_.images.find(name);
    if (!stored) {
        throw_not_found(name, store_.images);
    }
    return to_image(*stored, vms_by_image(store_.vms)[name]);
}

UploadResponse ImageService::upload(const UploadFile& call) {
    make_folders(paths_.uploads());
    expire();
    auto file = std::make_shared<IncomingFile>(paths_.uploads(), call, config_.max_size);
    return {.write = [file](std::string_view piece) { file->write(piece); },
            .finish = [file] { return encode(file->finish()); }};
}

Operation ImageService::import(const ImageImport& call) {
    auto uploads = std::make_shared<Uploads>(paths_.uploads(), call);
    if (!call.kernel && (call.initrd || call.cmdline)) {
        throw Error(ErrorCode::invalid, "an initrd or a kernel command line without a kernel",
                    "give --kernel too");
    }
    check_kernel_cmdline(call.cmdline.value_or(""));
    return operations_.submit("image.import", call.name.to_string(), "image/" + call.name.to_string(),
                              [this, call, uploads](Progress& progress) {
                                  Uploads own =
                                      std::move(*uploads); // gone with the work, not with the operation
                                  return run_import(call, own, progress);
                              });
}

Json ImageService::run_import(const ImageImport& call, Uploads& uploads, Progress& progress) {
    ImageRecord record;
    record.name = call.name;
    record.digest = uploads.disk->digest;
    record.boot = uploads.boot(call);
    if (is_imported(record)) {
        return encode(show(call.name));
    }
    record.size = check_files(uploads, progress);
    progress.message("writing to disk");
    try {
        put_in_place(record, uploads);
    } catch (...) {
        const std::unique_lock lock(in_use_);
        remove_unnamed_files();
        throw;
    }
    events_.add("image.imported", call.name.to_string(), Json{{"digest", record.digest.to_string()}});
    return encode(show(call.name));
}

Bytes ImageService::check_files(Uploads& uploads, Progress& progress) {
    if (uploads.kernel) {
        check_kernel_file(uploads.kernel->file.path());
    }
    if (uploads.initrd) {
        check_initrd_file(uploads.initrd->file.path());
    }
    ImportedDisk disk = import_disk(tool_, std::move(uploads.disk->file), config_.max_size, progress);
    uploads.disk->file = std::move(disk.file);
    return disk.size;
}

void ImageService::put_in_place(ImageRecord& record, Uploads& uploads) {
    std::vector<std::pair<TemporaryFile&, fs::path>> files{{uploads.disk->file, disk_path(record.digest)}};
    if (uploads.kernel) {
        files.emplace_back(uploads.kernel->file, kernel_path(record.boot->kernel));
    }
    if (uploads.initrd) {
        files.emplace_back(uploads.initrd->file, initrd_path(*record.boot->initrd));
    }
    for (const auto& [file, target] : files) {
        prepare_file(file, target);
    }
    const std::shared_lock lock(in_use_); // nobody removes the files before the record names them
    for (const auto& [file, target] : files) {
        place_file(file, target);
    }
    record.imported = Timestamp::now();
    store_.images.save(record);
}

bool ImageService::is_imported(const ImageRecord& wanted) {
    const auto stored = store_.images.find(wanted.name);
    if (!stored) {
        return false;
    }
    const bool same = stored->record && stored->record->digest == wanted.digest &&
                      same_boot(stored->record->boot, wanted.boot);
    if (!same) {
        throw Error(ErrorCode::exists,
                    fmt::format("image {}: exists already, with other content", wanted.name.to_string()),
                    fmt::format("choose another name, or remove it first: `capsulctl image rm {}`",
                                wanted.name.to_string()));
    }
    return missing_files(*stored->record).empty();
}

void ImageService::expire() const {
    expire_uploads(paths_.uploads(), upload_life);
    expire_downloads(paths_.downloads(), upload_life);
}

Operation ImageService::export_disk(const ImageExport& call) {
    check_export(call);
    static_cast<void>(usable(call.name));
    return operations_.submit("image.export", call.name.to_string(), {},
                              [this, call](Progress& progress) { return run_export(call, progress); });
}

/// Beside all else, since it changes nothing; of a link, so that the image may be removed meanwhile.
Json ImageService::run_export(const ImageExport& call, Progress& progress) {
    OutgoingFile file(paths_.downloads());
    const ImageRecord record = [&] {
        const HeldImage held = hold(call.name);
        fs::create_hard_link(disk_path(held.record.digest), file.source());
        return held.record;
    }();
    write_export(tool_, call, record, file, progress);
    return encode(file.finish());
}

DownloadResponse ImageService::download(const Uuid& id) {
    return claim_download(paths_.downloads(), id);
}

Operation ImageService::remove(const Name& name) {
    if (!store_.images.exists(name)) {
        throw_not_found(name, store_.images);
    }
    return operations_.submit("image.remove", name.to_string(), "image/" + name.to_string(),
                              [this, name](Progress& progress) { return run_remove(name, progress); });
}

Json ImageService::run_remove(const Name& name, Progress& progress) {
    progress.message("waiting for VMs and images that are being made");
    const std::unique_lock lock(in_use_);
    progress.message("removing its files");
    const Image image = show(name);
    if (!image.vms.empty()) {
        throw Error(
            ErrorCode::in_use,
            fmt::format("image {}: VMs are made from it: {}", name.to_string(), join_names(image.vms, ", ")),
            "delete them first: `capsulctl vm delete NAME…`");
    }
    store_.images.remove(name);
    remove_unnamed_files();
    events_.add("image.removed", name.to_string(),
                image.digest ? Json{{"digest", image.digest->to_string()}} : Json::object());
    return encode(image);
}

ImageRecord ImageService::usable(const Name& name) {
    if (!store_.images.exists(name)) {
        throw_not_found(name, store_.images);
    }
    ImageRecord record = store_.images.load(name);
    if (const std::string missing = missing_files(record); !missing.empty()) {
        throw Error(
            ErrorCode::verification, fmt::format("image {}: {}", name.to_string(), missing),
            fmt::format("import the same file again: `capsulctl image import {} FILE`", name.to_string()));
    }
    return record;
}

HeldImage ImageService::hold(const Name& name) {
    std::shared_lock lock(in_use_);
    return {usable(name), std::move(lock)};
}

fs::path ImageService::disk_path(const Digest& digest) const {
    return paths_.images() / disk_file_name(digest);
}
fs::path ImageService::kernel_path(const Digest& digest) const {
    return paths_.images() / kernel_file_name(digest);
}
fs::path ImageService::initrd_path(const Digest& digest) const {
    return paths_.images() / initrd_file_name(digest);
}

Image ImageService::to_image(const Stored<ImageRecord>& stored, std::vector<Name> vms) const {
    Image image;
    image.name = stored.name;
    image.vms = std::move(vms);
    if (!stored.record) {
        image.broken = stored.broken;
        return image;
    }
    if (std::string missing = missing_files(*stored.record); !missing.empty()) {
        image.broken = std::move(missing);
    }
    image.digest = stored.record->digest;
    image.size = stored.record->size;
    image.disk_usage = disk_usage(disk_path(stored.record->digest));
    image.imported = stored.record->imported;
    image.boot = stored.record->boot;
    return image;
}

std::string ImageService::missing_files(const ImageRecord& record) const {
    std::vector<fs::path> files{disk_path(record.digest)};
    if (record.boot) {
        files.push_back(kernel_path(record.boot->kernel));
    }
    if (record.boot && record.boot->initrd) {
        files.push_back(initrd_path(*record.boot->initrd));
    }
    for (const fs::path& file : files) {
        std::error_code unreadable;
        if (!fs::is_regular_file(file, unreadable)) {
            return fmt::format("its file {} is missing", file.string());
        }
    }
    return {};
}

void ImageService::remove_unnamed_files() {
    if (const auto needed = needed_files(store_)) {
        remove_other_files(paths_.images(), *needed);
    }
}

} // namespace capsul
