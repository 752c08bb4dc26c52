#include "daemon/image_service.hpp"

#include "daemon/disk_export.hpp"
#include "daemon/disk_import.hpp"
#include "daemon/download_file.hpp"
#include "daemon/image_check.hpp"
#include "daemon/image_files.hpp"
#include "daemon/image_names.hpp"
#include "lib/fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

namespace capsul {
namespace {

constexpr std::chrono::hours upload_life{1};

/// What is known of a new image before its files are looked at.
ImageRecord record_of(const NewImage& wanted) {
    ImageRecord record;
    record.name = wanted.name;
    record.digest = wanted.disk.digest;
    record.imported = Timestamp::now();
    record.origin = wanted.origin;
    record.published = wanted.published;
    if (wanted.kernel) {
        record.boot =
            DirectKernel{wanted.kernel->digest,
                         wanted.initrd ? std::optional(wanted.initrd->digest) : std::nullopt, wanted.cmdline};
    }
    return record;
}

/// What is known better: bytes whose signature was checked once stay what they are.
std::optional<ImageOrigin> better_known(const std::optional<ImageOrigin>& known,
                                        const std::optional<ImageOrigin>& now) {
    return known && (!now || known->verified > now->verified) ? known : now;
}

Error exists_already(const Name& name, const char* how) {
    return {
        ErrorCode::exists, about_image(name, how),
        fmt::format("choose another name, or remove it first: `capsulctl image rm {}`", name.to_string())};
}

/// Throws Error when somebody needs it.
void require_unwanted(const Image& image) {
    if (!image.vms.empty()) {
        throw Error(ErrorCode::in_use,
                    about_image(image.name, "VMs are made from it: " + join_names(image.vms)),
                    "delete them first: `capsulctl vm delete NAME…`");
    }
    if (!image.aliases.empty()) {
        throw Error(ErrorCode::in_use,
                    about_image(image.name, "aliases point at it: " + join_names(image.aliases)),
                    fmt::format("`capsulctl image tag OTHER {0}` points one at another image, "
                                "`capsulctl image untag {0}` removes it",
                                image.aliases.front().to_string()));
    }
    if (image.pinned) {
        throw Error(ErrorCode::wrong_state, about_image(image.name, "is pinned"),
                    fmt::format("`capsulctl image unpin {}` first", image.name.to_string()));
    }
}

} // namespace

Error has_other_content(const Name& name) {
    return exists_already(name, "exists already, with other content");
}

/// Gone with whatever happens to the import.
struct ImageService::Uploads {
    Uploads(const fs::path& folder, const ImageImport& call)
        : disk(claim(folder, call.disk)), kernel(claim(folder, call.kernel)),
          initrd(claim(folder, call.initrd)) {
        if (missing) { // only now, so that those that are there go too
            throw *missing;
        }
    }
    /// What they are to become; nothing is left here.
    [[nodiscard]] NewImage take(const ImageImport& call) {
        return {.name = call.name,
                .disk = std::move(*disk),
                .kernel = std::move(kernel),
                .initrd = std::move(initrd),
                .cmdline = call.cmdline.value_or(""),
                .origin = {},
                .published = {},
                .alias = {}};
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
    : paths_(paths), config_(config), tool_(tool), store_(store), operations_(operations), events_(events),
      view_(paths, store) {}

void ImageService::sweep() {
    tool_.sweep();
    remove_whole(paths_.downloads());
    make_folders(paths_.downloads());
    make_folders(paths_.images());
    make_folders(paths_.uploads());
    clear_uploads(paths_.uploads());
    remove_other_files(paths_.aliases(), {});
    remove_unnamed_files();
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
    require_no_alias(store_, call.name);
    return operations_.submit("image.import", call.name.to_string(), "image/" + call.name.to_string(),
                              [this, call, uploads](Progress& progress) {
                                  // Gone with the work, not with the operation.
                                  return encode(make(uploads->take(call), progress));
                              });
}

void ImageService::require_unused(const Name& name) const {
    require_no_alias(store_, name);
    if (store_.images.exists(name)) {
        throw exists_already(name, "exists already");
    }
}

void ImageService::require_free(const Name& name, const std::optional<Name>& alias) {
    require_no_alias(store_, name);
    if (alias == name) {
        throw Error(ErrorCode::invalid, about_image(name, "cannot be an alias of itself"));
    }
    if (alias) {
        require_no_image(store_, *alias);
    }
}

Image ImageService::make(NewImage wanted, Progress& progress) {
    require_free(wanted.name, wanted.alias);
    ImageRecord record = record_of(wanted);
    if (finish(record, wanted.alias)) {
        return show(wanted.name);
    }
    record.size = check_files(wanted, progress);
    progress.message("writing to disk");
    try {
        put_in_place(record, wanted);
    } catch (...) {
        const std::unique_lock lock(in_use_);
        const std::lock_guard naming(names_);
        remove_unnamed_files();
        throw;
    }
    return show(wanted.name);
}

Bytes ImageService::check_files(NewImage& wanted, Progress& progress) {
    if (wanted.kernel) {
        check_kernel_file(wanted.kernel->file.path());
    }
    if (wanted.initrd) {
        check_initrd_file(wanted.initrd->file.path());
    }
    ImportedDisk disk = import_disk(tool_, std::move(wanted.disk.file), config_.max_size, progress);
    wanted.disk.file = std::move(disk.file);
    return disk.size;
}

void ImageService::put_in_place(const ImageRecord& record, NewImage& wanted) {
    std::vector<std::pair<TemporaryFile&, fs::path>> files{{wanted.disk.file, disk_path(record.digest)}};
    if (wanted.kernel) {
        files.emplace_back(wanted.kernel->file, kernel_path(wanted.kernel->digest));
    }
    if (wanted.initrd) {
        files.emplace_back(wanted.initrd->file, initrd_path(wanted.initrd->digest));
    }
    for (const auto& [file, target] : files) {
        prepare_file(file, target);
    }
    const std::shared_lock lock(in_use_); // nobody removes the files before the record names them
    for (const auto& [file, target] : files) {
        place_file(file, target);
    }
    save(record, wanted.alias);
}

bool ImageService::finish(const ImageRecord& record, const std::optional<Name>& alias) {
    const std::shared_lock lock(in_use_);
    if (!is_imported(record)) {
        return false;
    }
    save(record, alias);
    return true;
}

void ImageService::save(const ImageRecord& record, const std::optional<Name>& alias) {
    const std::lock_guard lock(names_);
    require_no_alias(store_, record.name);
    static_cast<void>(is_imported(record)); // somebody else may have taken the name by now
    const auto known = store_.images.find(record.name);
    ImageRecord wanted = known ? *known->record : record;
    wanted.origin = better_known(wanted.origin, record.origin);
    wanted.published = record.published ? record.published : wanted.published;
    if (!known || encode(wanted) != encode(*known->record)) {
        store_.images.save(wanted);
    }
    if (!known) {
        events_.add("image.imported", record.name.to_string(), Json{{"digest", record.digest.to_string()}});
    }
    if (alias) {
        point_alias(*alias, record.name);
    }
}

bool ImageService::is_imported(const ImageRecord& wanted) {
    const auto stored = store_.images.find(wanted.name);
    if (!stored) {
        return false;
    }
    const bool same = stored->record && content_of(stored->record->digest, stored->record->boot) ==
                                            content_of(wanted.digest, wanted.boot);
    if (!same) {
        throw has_other_content(wanted.name);
    }
    return missing_file(paths_.images(), *stored->record).empty();
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
    if (!store_.images.exists(name) && !store_.aliases.exists(name)) {
        throw no_such_image(store_, name);
    }
    return operations_.submit("image.remove", name.to_string(), "image/" + name.to_string(),
                              [this, name](Progress& progress) { return run_remove(name, progress); });
}

Json ImageService::run_remove(const Name& name, Progress& progress) {
    if (!store_.images.exists(name) && store_.aliases.exists(name)) {
        return run_untag(name);
    }
    progress.message("waiting for VMs and images that are being made");
    const std::unique_lock lock(in_use_);
    const std::lock_guard naming(names_);
    progress.message("removing its files");
    const auto stored = store_.images.find(name);
    if (!stored) {
        throw no_such_image(store_, name);
    }
    const Image image = view_.show(*stored, ImageUse(store_));
    require_unwanted(image);
    remove_record(image);
    remove_unnamed_files();
    return encode(image);
}

ImageRecord ImageService::usable(const Name& name) {
    ImageRecord record = store_.images.load(image_named(store_, name));
    if (const std::string missing = missing_file(paths_.images(), record); !missing.empty()) {
        const std::string image = record.name.to_string();
        throw Error(ErrorCode::verification, about_image(record.name, missing),
                    fmt::format("import the same file again: `capsulctl image import {} FILE`", image));
    }
    return record;
}

HeldImage ImageService::hold(const Name& name) {
    std::shared_lock lock(in_use_);
    return {usable(name), std::move(lock)};
}

void ImageService::touch(const Digest& digest) const {
    // Where it fails the image seems to be unused for longer than it is: no reason to keep a VM.
    static_cast<void>(::utimensat(AT_FDCWD, disk_path(digest).c_str(), nullptr, 0));
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

void ImageService::remove_record(const Image& image) {
    store_.images.remove(image.name);
    events_.add("image.removed", image.name.to_string(),
                image.digest ? Json{{"digest", image.digest->to_string()}} : Json::object());
}

void ImageService::remove_unnamed_files() {
    if (const auto needed = needed_files(store_)) {
        remove_other_files(paths_.images(), *needed);
    }
}

} // namespace capsul
