#include "daemon/image_build.hpp"

#include "daemon/build_needs.hpp"
#include "daemon/file_digest.hpp"
#include "lib/fd.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

constexpr Bytes least_size(std::uint64_t{2} << 30U); ///< on which a Debian has some room
constexpr std::uint64_t size_step = std::uint64_t{1} << 20U;
constexpr std::size_t most_packages = 500;

void check_architecture(const ImageBuild& call) {
    if (call.architecture && *call.architecture != host_architecture()) {
        throw Error(
            ErrorCode::not_capable,
            fmt::format("architecture: {} cannot be built here, where the programs of its packages do "
                        "not run",
                        to_string(*call.architecture)),
            fmt::format("this host is {}; `capsulctl image pull` gets images that others have built",
                        to_string(host_architecture())));
    }
}

void check_size(Bytes size, Bytes most) {
    if (size < least_size || size > most) {
        throw Error(ErrorCode::invalid,
                    fmt::format("size: {} is not between {} and {}", size.to_string(), least_size.to_string(),
                                most.to_string()),
                    "a VM's disk may be larger than its image: `capsulctl vm create --disk`");
    }
    if (size.count() % size_step != 0) {
        throw Error(ErrorCode::invalid, fmt::format("size: {} is not whole MiB", size.to_string()));
    }
}

void check_mirror(const char* field, const Url& url) {
    if (url.is_file() || url.to_string().find('?') != std::string::npos) {
        throw Error(ErrorCode::invalid,
                    fmt::format("{}: '{}' is not the address of a mirror", field, url.to_string()),
                    "write it as http://deb.debian.org/debian");
    }
}

void check(const ImageBuild& call, const ImageConfig& config) {
    check_architecture(call);
    check_size(call.size, config.max_size);
    check_mirror("mirror", call.mirror);
    check_mirror("security_mirror", call.security_mirror);
    if (call.include.size() > most_packages) {
        throw Error(ErrorCode::invalid, fmt::format("include: more than {} packages", most_packages),
                    "name those that need the others");
    }
}

ClaimedFile take_file(const fs::path& file) {
    return {TemporaryFile(file), Digest::parse("sha256:" + sha256_of_file(file, [](std::uint64_t) {}))};
}

std::string first_line_of(const fs::path& file) {
    const std::string text = read_file(file);
    return text.substr(0, text.find('\n'));
}

/// apt has verified it all by Debian's signatures.
ImageOrigin origin_of(const ImageBuild& call) {
    ImageOrigin origin;
    origin.url = call.mirror.to_string();
    origin.version = ImageVersion::of_day(Timestamp::now());
    origin.verified = Verification::signature;
    origin.built_from = fmt::format("{} {}", to_string(call.distro), to_string(call.release));
    return origin;
}

NewImage image_of(const ImageBuild& call, const fs::path& folder) {
    NewImage image{.name = call.name,
                   .disk = take_file(folder / "disk.qcow2"),
                   .kernel = {},
                   .initrd = {},
                   .cmdline = {},
                   .origin = origin_of(call),
                   .alias = {}};
    if (call.boot == BootForm::direct) {
        image.kernel = take_file(folder / "kernel");
        image.initrd = take_file(folder / "initrd");
        image.cmdline = first_line_of(folder / "cmdline");
    }
    return image;
}

} // namespace

Operation ImageBuildService::build(const ImageBuild& call) {
    check(call, config_);
    images_.require_unused(call.name);
    require_build_needs();
    // One at a time: each takes gigabytes of memory and scratch space.
    return operations_.submit("image.build", call.name.to_string(), "image.build",
                              [this, call](Progress& progress) { return encode(run(call, progress)); });
}

Image ImageBuildService::run(const ImageBuild& call, Progress& progress) {
    images_.require_unused(call.name); // what came before it in the queue may have made one
    const OwnFolder folder = builder_.build(call, progress);
    progress.message("taking the image in");
    return images_.make(image_of(call, folder.path()), progress);
}

} // namespace capsul
