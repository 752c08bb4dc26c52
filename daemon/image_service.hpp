// Images: receive, check, keep, list, remove.
#pragma once

#include "daemon/event_log.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/router.hpp"
#include "daemon/sandboxed_tool.hpp"
#include "daemon/store.hpp"
#include "lib/config.hpp"
#include "lib/image.hpp"

#include <optional>
#include <shared_mutex>

namespace capsul {

/// An image that is not removed while the lock is held.
struct HeldImage {
    ImageRecord record;
    std::shared_lock<std::shared_mutex> lock;
};

/// Thread-safe.
class ImageService {
  public:
    ImageService(const Paths& paths, const ImageConfig& config, const SandboxedTool& tool, Store& store,
                 OperationService& operations, EventLog& events);

    /// Removes what a crash left: uploads, and files no record names. Called once, before anything else.
    void sweep();

    [[nodiscard]] std::vector<Image> list();
    [[nodiscard]] Image show(const Name& name);
    [[nodiscard]] UploadResponse upload(const UploadFile& call);
    Operation import(const ImageImport& call);
    Operation remove(const Name& name);
    /// Makes a file of it, for download().
    Operation export_disk(const ImageExport& call);
    [[nodiscard]] DownloadResponse download(const Uuid& id);
    /// Removes what nobody has fetched or used in time.
    void expire() const;

    /// The record of an image that a VM can be made from. Throws Error: not_found (with a hint of what images
    /// there are), wrong_state when it is broken, verification. Never waits.
    [[nodiscard]] ImageRecord usable(const Name& name);
    /// The same, kept from removal until the VM's record says that it is needed. Waits for a removal.
    [[nodiscard]] HeldImage hold(const Name& name);
    /// Where the disk of a digest is, whatever its name: for VMs that exist.
    [[nodiscard]] fs::path disk_path(const Digest& digest) const;
    [[nodiscard]] fs::path kernel_path(const Digest& digest) const;
    [[nodiscard]] fs::path initrd_path(const Digest& digest) const;

  private:
    struct Uploads;
    Json run_remove(const Name& name, Progress& progress);
    Json run_import(const ImageImport& call, Uploads& uploads, Progress& progress);
    Json run_export(const ImageExport& call, Progress& progress);
    /// The size of the disk, which is qcow2 afterwards.
    Bytes check_files(Uploads& uploads, Progress& progress);
    void put_in_place(ImageRecord& record, Uploads& uploads);
    /// True when `wanted` is there already, whole; throws Error (exists) when its name is another image's.
    [[nodiscard]] bool is_imported(const ImageRecord& wanted);
    [[nodiscard]] Image to_image(const Stored<ImageRecord>& stored, std::vector<Name> vms) const;
    /// Why the files of a record cannot be used; empty when they can.
    [[nodiscard]] std::string missing_files(const ImageRecord& record) const;
    void remove_unnamed_files();

    const Paths& paths_;
    const ImageConfig& config_;
    const SandboxedTool& tool_;
    Store& store_;
    OperationService& operations_;
    EventLog& events_;
    std::shared_mutex in_use_; ///< shared: a VM or an image is being made; exclusive: files of images go
};

} // namespace capsul
