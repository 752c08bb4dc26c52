// What of a source is got to know its images, and what was found in it.
#pragma once

#include "lib/catalogue.hpp"
#include "lib/image_source.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace capsul {

/// A file to get. Where it has a keyring, its signature has to be good before any of it is read.
struct CatalogueDocument {
    Name id; ///< its own among those of its source
    Url url;
    std::uint64_t max_bytes = 0;
    std::optional<Url> signature;       ///< detached
    bool clearsigned = false;           ///< the signature is around the text itself
    std::optional<KeyringPath> keyring; ///< with one of the two only
    std::optional<std::string> file;    ///< the image that it tells of, where a listing has named that

    static constexpr auto fields() {
        return field_list(required("id", &CatalogueDocument::id), required("url", &CatalogueDocument::url),
                          required("max_bytes", &CatalogueDocument::max_bytes),
                          optional("signature", &CatalogueDocument::signature),
                          optional("clearsigned", &CatalogueDocument::clearsigned),
                          optional("keyring", &CatalogueDocument::keyring),
                          optional("file", &CatalogueDocument::file));
    }
    [[nodiscard]] bool is_signed() const { return keyring && (signature || clearsigned); }
};

/// A document that was got, and what its server says when it last changed.
struct CatalogueText {
    CatalogueDocument document;
    std::string text; ///< with its signature around it, or without
    std::optional<Timestamp> modified;
};

/// What a document led to.
struct CatalogueStep {
    std::vector<CatalogueDocument> documents; ///< to get next
    std::vector<CatalogueEntry> entries;
    std::vector<SourceProblem> problems;
};

/// Of what a document may have, however large it is.
constexpr std::size_t most_entries = 2000;
constexpr std::size_t most_problems = 20;
constexpr std::uint64_t largest_image = std::uint64_t{1} << 44U;

/// Adds a problem, and after `most_problems` of them only that there are more.
void note(CatalogueStep& step, const Name& source, const std::string& message, const std::string& hint = {});

} // namespace capsul
