// Where an image comes from, and how well that is known.
#pragma once

#include "lib/image_version.hpp"
#include "lib/json.hpp"
#include "lib/name.hpp"

#include <array>
#include <optional>
#include <string>

namespace capsul {

/// How a file was found to be the one that its publisher meant, the weakest first.
enum class Verification { none, checksum, signature };
template <>
struct EnumWords<Verification> {
    static constexpr std::array<std::pair<Verification, std::string_view>, 3> words{
        {{Verification::none, "none"},
         {Verification::checksum, "checksum"},
         {Verification::signature, "signature"}}};
};

/// Of an image that was downloaded, or built here of what was downloaded.
struct ImageOrigin {
    std::string url;            ///< of what it was built from: the mirror
    std::optional<Name> source; ///< the catalogue's source that told of it
    ImageVersion version;       ///< as the source calls it, or the day on which it was published
    Verification verified = Verification::none;
    std::optional<Name> entry = {};             ///< what the source calls it
    std::optional<std::string> built_from = {}; ///< packages of which it was built: "debian bookworm"
    /// Of the file as it was served, in lower-case hexadecimal; its SHA-256 is the image's digest.
    std::optional<std::string> sha512 = {};

    static constexpr auto fields() {
        return field_list(
            required("url", &ImageOrigin::url), optional("source", &ImageOrigin::source),
            required("version", &ImageOrigin::version), required("verified", &ImageOrigin::verified),
            optional("entry", &ImageOrigin::entry), optional("built_from", &ImageOrigin::built_from),
            optional("sha512", &ImageOrigin::sha512));
    }
};

/// Of an image that was a VM's disk.
struct PublishedFrom {
    Name vm;
    Name image; ///< that the VM was made from
    /// Each VM made from it is to get an identity of its own at its first boot.
    bool reset = true;
    bool cleaned = false; ///< the identity of `vm` is not on the disk any more

    static constexpr auto fields() {
        return field_list(required("vm", &PublishedFrom::vm), required("image", &PublishedFrom::image),
                          required("reset", &PublishedFrom::reset),
                          optional("cleaned", &PublishedFrom::cleaned));
    }
};

} // namespace capsul
