// Base images: read-only disks that VMs are made from, known by digest.
#pragma once

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
    std::optional<DirectKernel> boot;

    static constexpr auto fields() {
        return field_list(required("format", &ImageRecord::format), required("name", &ImageRecord::name),
                          required("digest", &ImageRecord::digest), required("size", &ImageRecord::size),
                          required("imported", &ImageRecord::imported), optional("boot", &ImageRecord::boot));
    }
};

/// An image as shown.
struct Image {
    Name name;
    std::optional<std::string> broken; ///< why its record or file cannot be used
    std::optional<Digest> digest;
    std::optional<Bytes> size;
    std::optional<std::uint64_t> disk_usage; ///< bytes that its file takes on the host
    std::optional<Timestamp> imported;
    std::optional<DirectKernel> boot;
    std::vector<Name> vms; ///< that are made from it

    static constexpr auto fields() {
        return field_list(required("name", &Image::name), optional("broken", &Image::broken),
                          optional("digest", &Image::digest), optional("size", &Image::size),
                          optional("disk_usage", &Image::disk_usage), optional("imported", &Image::imported),
                          optional("boot", &Image::boot), optional("vms", &Image::vms));
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

/// Makes an image from uploads: qcow2 is recognised by its magic (and checked), everything else is raw.
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

/// Refused (in_use) while a VM is made from it.
struct ImageRemove {
    Name name;
    using Result = Image;
    static constexpr Route route{Method::delete_, "/v1/images/{name}", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &ImageRemove::name)); }
};

} // namespace capsul
