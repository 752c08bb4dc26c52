// Base images: read-only disks that VMs are made from, known by digest.
#pragma once

#include "lib/image_origin.hpp"
#include "lib/mac.hpp"
#include "lib/name.hpp"
#include "lib/route.hpp"
#include "lib/size.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace capsul {

/// A kernel that an image brings along, for booting without a boot loader.
struct DirectKernel {
    Digest kernel;
    std::optional<Digest> initrd;
    std::string cmdline;

    static constexpr auto fields() {
        return field_list(required("kernel", &DirectKernel::kernel),
                          optional("initrd", &DirectKernel::initrd),
                          required("cmdline", &DirectKernel::cmdline));
    }
};

/// The record of an image: NAME.toml.
struct ImageRecord {
    int format = 1;
    Name name;
    Digest digest; ///< of the file as it was imported
    Bytes size;    ///< of the disk as the guest sees it
    Timestamp imported;
    bool pinned = false; ///< neither `prune` nor `rm` removes it
    std::optional<DirectKernel> boot;
    std::optional<ImageOrigin> origin;      ///< of one that was downloaded or built
    std::optional<PublishedFrom> published; ///< of one that was a VM's disk

    static constexpr auto fields() {
        return field_list(required("format", &ImageRecord::format), required("name", &ImageRecord::name),
                          required("digest", &ImageRecord::digest), required("size", &ImageRecord::size),
                          required("imported", &ImageRecord::imported),
                          optional("pinned", &ImageRecord::pinned), optional("boot", &ImageRecord::boot),
                          optional("origin", &ImageRecord::origin),
                          optional("published", &ImageRecord::published));
    }
};

/// A second name for an image, which can be moved to another: aliases/NAME.toml. Aliases and images share one
/// name space: wherever an image is named, an alias will do.
struct AliasRecord {
    int format = 1;
    Name name;
    Name image;        ///< never another alias
    Timestamp changed; ///< when it was made, or moved

    static constexpr auto fields() {
        return field_list(required("format", &AliasRecord::format), required("name", &AliasRecord::name),
                          required("image", &AliasRecord::image), required("changed", &AliasRecord::changed));
    }
};

/// An image as shown; also an alias that leads to none, or was removed.
struct Image {
    Name name;
    std::optional<Name> alias_of;      ///< of an alias: what it points at
    std::optional<std::string> broken; ///< why its record or file cannot be used
    std::vector<Name> aliases;         ///< that point at it
    std::optional<Digest> digest;
    std::optional<Bytes> size;
    std::optional<std::uint64_t> disk_usage; ///< bytes that its disk takes on the host
    std::optional<std::uint64_t> unique;     ///< bytes of its files that no other image has
    std::optional<std::uint64_t> shared;     ///< bytes of those that others have too
    std::optional<Timestamp> imported;
    std::optional<Timestamp> unused_since; ///< the last VM made from it went, or it came; while there is none
    bool pinned = false;
    std::optional<DirectKernel> boot;
    std::optional<ImageOrigin> origin;
    std::optional<PublishedFrom> published;
    std::optional<std::string> newer; ///< the version that its source has now, as far as that is known
    std::vector<Name> vms;            ///< that are made from it

    static constexpr auto fields() {
        return field_list(required("name", &Image::name), optional("alias_of", &Image::alias_of),
                          optional("broken", &Image::broken), optional("aliases", &Image::aliases),
                          optional("digest", &Image::digest), optional("size", &Image::size),
                          optional("disk_usage", &Image::disk_usage), optional("unique", &Image::unique),
                          optional("shared", &Image::shared), optional("imported", &Image::imported),
                          optional("unused_since", &Image::unused_since), optional("pinned", &Image::pinned),
                          optional("boot", &Image::boot), optional("origin", &Image::origin),
                          optional("published", &Image::published), optional("newer", &Image::newer),
                          optional("vms", &Image::vms));
    }
};

struct ImageList {
    using Result = std::vector<Image>;
    static constexpr Route route{Method::get, "/v1/images", Answer::value};
    static constexpr auto fields() { return field_list(); }
};

struct ImageShow {
    Name name;
    using Result = Image;
    static constexpr Route route{Method::get, "/v1/images/{name}", Answer::value};
    static constexpr auto fields() { return field_list(required("name", &ImageShow::name)); }
};

/// A file the daemon has received; kept for an hour for the call that uses it.
struct Upload {
    Uuid id;
    std::uint64_t size = 0;
    Digest digest;

    static constexpr auto fields() {
        return field_list(required("id", &Upload::id), required("size", &Upload::size),
                          required("digest", &Upload::digest));
    }
};

/// Sends a file's content. With a digest given, anything else is refused (verification) and nothing is kept.
struct UploadFile {
    std::optional<std::string> sha256; ///< hexadecimal
    std::optional<std::string> sha512;
    using Result = Upload;
    static constexpr Route route{Method::post, "/v1/uploads", Answer::upload};
    static constexpr auto fields() {
        return field_list(optional("sha256", &UploadFile::sha256), optional("sha512", &UploadFile::sha512));
    }
};

/// Makes an image from uploads: what kind of file it is, its content tells.
struct ImageImport {
    Name name;
    Uuid disk;
    std::optional<Uuid> kernel;
    std::optional<Uuid> initrd;
    std::optional<std::string> cmdline;
    using Result = Image;
    static constexpr Route route{Method::post, "/v1/images", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &ImageImport::name), required("disk", &ImageImport::disk),
                          optional("kernel", &ImageImport::kernel), optional("initrd", &ImageImport::initrd),
                          optional("cmdline", &ImageImport::cmdline));
    }
};

/// What an image can be written as.
enum class ExportFormat { qcow2, raw, vmdk, ova };
template <>
struct EnumWords<ExportFormat> {
    static constexpr std::array<std::pair<ExportFormat, std::string_view>, 4> words{
        {{ExportFormat::qcow2, "qcow2"},
         {ExportFormat::raw, "raw"},
         {ExportFormat::vmdk, "vmdk"},
         {ExportFormat::ova, "ova"}}};
};

/// A file that the daemon has ready; kept for a while for the call that fetches it.
struct Download {
    Uuid id;
    std::uint64_t size = 0;

    static constexpr auto fields() {
        return field_list(required("id", &Download::id), required("size", &Download::size));
    }
};

/// Gives the content of one; it serves one call.
struct DownloadFile {
    Uuid id;
    static constexpr Route route{Method::get, "/v1/downloads/{id}", Answer::download};
    static constexpr auto fields() { return field_list(required("id", &DownloadFile::id)); }
};

/// Makes a file of an image's disk, without a kernel of its own.
struct ImageExport {
    Name name;
    ExportFormat format = ExportFormat::qcow2;
    bool compress = false; ///< an OVA always is, and raw never
    using Result = Download;
    static constexpr Route route{Method::post, "/v1/images/{name}/export", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &ImageExport::name), optional("format", &ImageExport::format),
                          optional("compress", &ImageExport::compress));
    }
};

/// Of an alias, the alias goes and its image stays. Refused (in_use) while a VM is made from the image or an
/// alias points at it, and (wrong_state) while it is pinned.
struct ImageRemove {
    Name name;
    using Result = Image;
    static constexpr Route route{Method::delete_, "/v1/images/{name}", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &ImageRemove::name)); }
};

/// Points the alias `name` at an image; one that points at another is moved.
struct ImageTag {
    Name name;
    Name image;
    using Result = Image;
    static constexpr Route route{Method::post, "/v1/aliases", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("name", &ImageTag::name), required("image", &ImageTag::image));
    }
};

/// Removes an alias, never an image.
struct ImageUntag {
    Name name;
    using Result = Image; ///< the alias, as it was
    static constexpr Route route{Method::delete_, "/v1/aliases/{name}", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &ImageUntag::name)); }
};

struct ImagePin {
    Name name;
    using Result = Image;
    static constexpr Route route{Method::post, "/v1/images/{name}/pin", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &ImagePin::name)); }
};

struct ImageUnpin {
    Name name;
    using Result = Image;
    static constexpr Route route{Method::post, "/v1/images/{name}/unpin", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &ImageUnpin::name)); }
};

/// What a prune removes, or would remove.
struct Pruned {
    std::vector<Image> images; ///< as they were
    std::uint64_t freed = 0;   ///< bytes of files that go with them
    bool dry_run = false;

    static constexpr auto fields() {
        return field_list(required("images", &Pruned::images), required("freed", &Pruned::freed),
                          required("dry_run", &Pruned::dry_run));
    }
};

/// Removes the images that no VM is made from, no alias points at and nobody has pinned.
struct ImagePrune {
    std::optional<Age> older_than;         ///< only those that have been unused for so long
    std::optional<std::vector<Name>> only; ///< of these: what somebody was shown and has agreed to
    bool dry_run = false;                  ///< tells what would be removed
    using Result = Pruned;
    static constexpr Route route{Method::post, "/v1/prune", Answer::operation};
    static constexpr auto fields() {
        return field_list(optional("older_than", &ImagePrune::older_than),
                          optional("only", &ImagePrune::only), optional("dry_run", &ImagePrune::dry_run));
    }
};

/// A number of things, and the bytes that they take.
struct Share {
    std::uint64_t count = 0;
    std::uint64_t size = 0;

    static constexpr auto fields() {
        return field_list(required("count", &Share::count), required("size", &Share::size));
    }
};

/// What takes space on the disk that images are on. An image counts as the first that fits of in_use, pinned,
/// aliased and unused, and a file that several have once, so that those four make up `images`.
struct DiskUsage {
    Share images;
    Share in_use; ///< VMs are made from them
    Share pinned;
    Share aliased;
    Share unused;    ///< what a prune would remove
    Share uploads;   ///< files on their way to be images
    Share downloads; ///< what is there of images that are pulled, or were cut off
    Share vm_disks;  ///< what VMs have written over their images
    std::uint64_t free = 0;
    std::uint64_t capacity = 0;

    static constexpr auto fields() {
        return field_list(required("images", &DiskUsage::images), required("in_use", &DiskUsage::in_use),
                          required("pinned", &DiskUsage::pinned), required("aliased", &DiskUsage::aliased),
                          required("unused", &DiskUsage::unused), required("uploads", &DiskUsage::uploads),
                          required("downloads", &DiskUsage::downloads),
                          required("vm_disks", &DiskUsage::vm_disks), required("free", &DiskUsage::free),
                          required("capacity", &DiskUsage::capacity));
    }
};

struct DiskUsageShow {
    using Result = DiskUsage;
    static constexpr Route route{Method::get, "/v1/usage", Answer::value};
    static constexpr auto fields() { return field_list(); }
};

} // namespace capsul
