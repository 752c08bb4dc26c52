// capsul's own form of a catalogue: a JSON file, as examples/image-index.schema.json describes it.
#pragma once

#include "daemon/catalogue/document.hpp"
#include "daemon/catalogue/source.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

/// An image as an index tells of it.
struct IndexImage {
    Name name;
    std::vector<Name> aliases;
    std::string title;
    ImageVersion version;
    Architecture architecture = Architecture::x86_64;
    std::string url; ///< or a path below the folder that the index is in
    std::optional<std::string> sha256;
    std::optional<std::string> sha512;
    std::optional<std::uint64_t> size;
    std::optional<std::string> signature; ///< of the file, detached: as `url`

    static constexpr auto fields() {
        return field_list(required("name", &IndexImage::name), optional("aliases", &IndexImage::aliases),
                          optional("title", &IndexImage::title), required("version", &IndexImage::version),
                          required("architecture", &IndexImage::architecture),
                          required("url", &IndexImage::url), optional("sha256", &IndexImage::sha256),
                          optional("sha512", &IndexImage::sha512), optional("size", &IndexImage::size),
                          optional("signature", &IndexImage::signature));
    }
};

[[nodiscard]] std::vector<CatalogueDocument> index_documents(const ImageSource& source);

/// The newest of each name and machine. An image that is not as it should be is passed over, with a problem.
/// Throws Error (invalid) when the document is none.
[[nodiscard]] CatalogueStep read_image_index(const ImageSource& source,
                                             const std::vector<Architecture>& architectures,
                                             const CatalogueText& text);

} // namespace capsul
