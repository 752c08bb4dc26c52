#include "daemon/catalogue/image_index.hpp"

#include "daemon/catalogue/clearsigned.hpp"
#include "lib/error.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::uint64_t largest_index = std::uint64_t{4} << 20U;
constexpr int index_format = 1;
constexpr int deepest = 8;

struct ImageIndex {
    int format = 0;
    std::vector<Json> images; ///< each judged by itself

    static constexpr auto fields() {
        return field_list(required("format", &ImageIndex::format), required("images", &ImageIndex::images));
    }
};

Url place_of(const CatalogueDocument& document, const std::string& text) {
    if (text.find("://") == std::string::npos) {
        return document.url.resolve(text);
    }
    Url url = Url::parse(text);
    if (!document.url.may_lead_to(url)) {
        throw Error(ErrorCode::invalid, fmt::format("an index from {} does not lead to {}",
                                                    document.url.scheme(), one_line(url.to_string())));
    }
    return url;
}

std::optional<Checksum> checksum_of(const IndexImage& image) {
    // The stronger one counts, but none of both may be wrong.
    std::optional<Checksum> checksum;
    if (image.sha256) {
        checksum = Checksum::parse("sha256:" + *image.sha256);
    }
    if (image.sha512) {
        checksum = Checksum::parse("sha512:" + *image.sha512);
    }
    return checksum;
}

Verification verification_of(const CatalogueEntry& entry, const CatalogueDocument& document) {
    if (entry.signature || (entry.checksum && document.is_signed())) {
        return Verification::signature;
    }
    return entry.checksum ? Verification::checksum : Verification::none;
}

CatalogueEntry entry_of(const ImageSource& source, const CatalogueDocument& document,
                        const IndexImage& image) {
    CatalogueEntry entry;
    entry.name = image.name;
    entry.aliases = image.aliases;
    entry.title = one_line(image.title);
    entry.version = image.version;
    entry.architecture = image.architecture;
    entry.url = place_of(document, image.url);
    if (entry.url.file_name().empty()) {
        throw Error(ErrorCode::invalid, "url: it names a folder");
    }
    if (image.size && (*image.size == 0 || *image.size > largest_image)) {
        throw Error(ErrorCode::invalid, fmt::format("size: it would have {}", human_size(*image.size)));
    }
    entry.size = image.size;
    entry.checksum = checksum_of(image);
    if (image.signature) {
        const Url signature = place_of(document, *image.signature);
        if (source.keyring) {
            entry.signature = signature;
        }
    }
    entry.verification = verification_of(entry, document);
    entry.source = source.name;
    return entry;
}

/// In the place of an older one of the same name.
void keep_newest(std::vector<CatalogueEntry>& entries, CatalogueEntry entry) {
    const auto same = std::ranges::find_if(entries, [&](const CatalogueEntry& other) {
        return other.name == entry.name && other.architecture == entry.architecture;
    });
    if (same == entries.end()) {
        entries.push_back(std::move(entry));
    } else if (same->version < entry.version) {
        *same = std::move(entry);
    }
}

/// As a problem names it: the first is image 1.
void add_image(CatalogueStep& step, const ImageSource& source, const std::vector<Architecture>& architectures,
               const CatalogueDocument& document, const Json& json, std::size_t number) {
    try {
        const auto image = decode<IndexImage>(json);
        CatalogueEntry entry = entry_of(source, document, image);
        if (std::ranges::count(architectures, entry.architecture) > 0) {
            keep_newest(step.entries, std::move(entry));
        }
    } catch (const Error& error) {
        const auto name = json.is_object() ? json.find("name") : json.end();
        const bool has_name = json.is_object() && name != json.end() && name->is_string();
        note(step, source.name,
             fmt::format("image {}{}: {}", number,
                         has_name ? " (" + name->get<std::string>().substr(0, 63) + ")" : "", error.what()));
    }
}

} // namespace

std::vector<CatalogueDocument> index_documents(const ImageSource& source) {
    CatalogueDocument document;
    document.id = Name::parse("index");
    document.url = source.url;
    document.max_bytes = largest_index;
    if (source.keyring && source.signature) {
        document.keyring = source.keyring;
        document.clearsigned = source.signature->is_clearsigned();
        if (!document.clearsigned) {
            document.signature = source.url.with_suffix(source.signature->to_string());
        }
    }
    return {document};
}

CatalogueStep read_image_index(const ImageSource& source, const std::vector<Architecture>& architectures,
                               const CatalogueText& text) {
    if (text.text.size() > largest_index) {
        throw Error(ErrorCode::invalid, fmt::format("it has more than {}", human_size(largest_index)));
    }
    const auto index = decode<ImageIndex>(parse_json(without_signature(text.text), deepest));
    if (index.format != index_format) {
        throw Error(ErrorCode::invalid,
                    fmt::format("it is of format {}, which is not known here", index.format),
                    "a newer capsul may know it");
    }
    if (index.images.size() > most_entries) {
        throw Error(ErrorCode::invalid, fmt::format("it has more than {} images", most_entries));
    }
    CatalogueStep step;
    for (std::size_t i = 0; i < index.images.size(); ++i) {
        add_image(step, source, architectures, text.document, index.images[i], i + 1);
    }
    return step;
}

} // namespace capsul
