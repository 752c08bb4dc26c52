// Images: receive, check, keep, list, name, remove. What is done to names and to what nobody needs is in
// image_service_names.cpp and image_service_prune.cpp.
#pragma once

#include "daemon/event_log.hpp"
#include "daemon/image_view.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/router.hpp"
#include "daemon/sandboxed_tool.hpp"
#include "daemon/store.hpp"
#include "daemon/upload_file.hpp"
#include "lib/config.hpp"
#include "lib/image.hpp"

#include <mutex>
#include <optional>
#include <shared_mutex>

namespace capsul {

/// An image that is not removed while the lock is held.
struct HeldImage {
    ImageRecord record;
    std::shared_lock<std::shared_mutex> lock;
};

/// What an image is to be made of. The files are gone with it, whatever happens.
struct NewImage {
    Name name;
    ClaimedFile disk;
    std::optional<ClaimedFile> kernel;
    std::optional<ClaimedFile> initrd;
    std::string cmdline;                      ///< for the kernel
    std::optional<ImageOrigin> origin;        ///< of one that was downloaded or built
    std::optional<PublishedFrom> published{}; ///< of one that was a VM's disk
    std::optional<Name> alias;                ///< that is to point at it
};

/// The error (exists) about the name of an image that is made of something else.
[[nodiscard]] Error has_other_content(const Name& name);

/// Thread-safe.
class ImageService {
  public:
    ImageService(const Paths& paths, const ImageConfig& config, const SandboxedTool& tool, Store& store,
                 OperationService& operations, EventLog& events);

    /// Removes what a crash left: uploads, and files no record names. Called once, before anything else.
    void sweep();

    [[nodiscard]] std::vector<Image> list() const { return view_.list(); }
    [[nodiscard]] Image show(const Name& name) const { return view_.show(name); }
    [[nodiscard]] DiskUsage usage() const { return view_.usage(); }
    [[nodiscard]] UploadResponse upload(const UploadFile& call);
    Operation import(const ImageImport& call);
    Operation remove(const Name& name);
    /// Makes a file of it, for download().
    Operation export_disk(const ImageExport& call);
    [[nodiscard]] DownloadResponse download(const Uuid& id);
    /// Removes what nobody has fetched or used in time.
    void expire() const;
    Operation tag(const ImageTag& call);
    Operation untag(const Name& alias);
    Operation set_pinned(const Name& name, bool pinned);
    Operation prune(const ImagePrune& call);

    /// Makes an image now, as part of an operation: its record first, then the alias. Done again, after
    /// whatever became of it the first time, it does what is left to do. Throws Error: exists when a name is
    /// taken by other content or is not free to be an alias, and what is wrong with the files.
    Image make(NewImage wanted, Progress& progress);
    /// Throws Error (exists, invalid) when make() could not give an image that name and that alias.
    void require_free(const Name& name, const std::optional<Name>& alias);
    /// Refuses with exists a name that an image or an alias has already.
    void require_unused(const Name& name) const;
    /// Points an alias at an image now, as part of an operation. Throws Error: exists when the name is that
    /// of an image.
    Image point(const Name& alias, const Name& image);

    /// An image, whatever its name, with this disk and, where `boot` says so, this kernel and initrd, that a
    /// VM can be made from.
    [[nodiscard]] std::optional<Name> with_content(const Digest& disk,
                                                   const std::optional<DirectKernel>& boot);
    /// Removes one that was made for something that has failed; it stays when somebody has found a use for
    /// it.
    void take_back(const Name& name, Progress& progress);
    /// The record of an image that a VM can be made from; `name` may be an alias. Throws Error: not_found
    /// (with a hint of what images there are), wrong_state when it is broken, verification. Never waits.
    [[nodiscard]] ImageRecord usable(const Name& name);
    /// The same, kept from removal until the VM's record says that it is needed. Waits for a removal.
    [[nodiscard]] HeldImage hold(const Name& name);
    /// Tells that a VM made from it goes: from then on counts how long it has been unused. The time is that
    /// of the disk's file, so that nothing is written when it is told.
    void touch(const Digest& digest) const;
    /// Where the disk of a digest is, whatever its name: for VMs that exist.
    [[nodiscard]] fs::path disk_path(const Digest& digest) const;
    [[nodiscard]] fs::path kernel_path(const Digest& digest) const;
    [[nodiscard]] fs::path initrd_path(const Digest& digest) const;

  private:
    struct Uploads;
    Json run_export(const ImageExport& call, Progress& progress);
    /// The size of the disk, which is qcow2 afterwards.
    Bytes check_files(NewImage& wanted, Progress& progress);
    void put_in_place(const ImageRecord& record, NewImage& wanted);
    /// What is left to do for an image that is there already, whole; false when it is not.
    bool finish(const ImageRecord& record, const std::optional<Name>& alias);
    /// Saves the record, then the alias. With in_use_ held: until the alias points at it nobody wants the
    /// image.
    void save(const ImageRecord& record, const std::optional<Name>& alias);
    /// True when `wanted` is there already, whole; throws Error (exists) when its name is another image's.
    [[nodiscard]] bool is_imported(const ImageRecord& wanted);
    Json run_remove(const Name& name, Progress& progress);
    Json run_untag(const Name& alias);
    Json run_set_pinned(const Name& name, bool pinned);
    Json run_prune(const ImagePrune& call, Progress& progress);
    /// The images that go, and what is freed.
    [[nodiscard]] Pruned plan_prune(const ImagePrune& call);
    // With both locks held:
    void point_alias(const Name& alias, const Name& image);
    void remove_record(const Image& image);
    void remove_unnamed_files();

    const Paths& paths_;
    const ImageConfig& config_;
    const SandboxedTool& tool_;
    Store& store_;
    OperationService& operations_;
    EventLog& events_;
    const ImageView view_;
    std::shared_mutex in_use_; ///< shared: a VM or an image is being made; exclusive: files of images go
    std::mutex names_; ///< held while a record of an image or alias comes, changes or goes; taken second
};

} // namespace capsul
