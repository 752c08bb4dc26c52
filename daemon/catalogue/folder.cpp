#include "daemon/catalogue/folder.hpp"

#include "daemon/catalogue/listing.hpp"
#include "daemon/catalogue/sums.hpp"
#include "lib/error.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

/// An image of a source for one machine.
struct Wanted {
    const ImageSource& source;
    const FolderImage& image;
    Architecture architecture;
    std::size_t number; ///< of the image in its source

    /// Whether its file has to be looked for before its checksums can be.
    [[nodiscard]] bool needs_listing() const { return image.sums.has_file() && image.file.has_version(); }
    [[nodiscard]] Url sums(std::string_view file) const {
        return source.url.resolve(image.sums.path(architecture, file));
    }
    [[nodiscard]] Url sums() const { return sums(image.file.file_name(architecture)); }
    [[nodiscard]] Url listing() const { return sums("x").folder(); }
};

std::vector<Wanted> wanted_of(const ImageSource& source, const std::vector<Architecture>& architectures) {
    std::vector<Wanted> all;
    for (std::size_t i = 0; i < source.images.size(); ++i) {
        const FolderImage& image = source.images[i];
        for (const Architecture one : architectures) {
            if (image.architectures.empty() || std::ranges::count(image.architectures, one) > 0) {
                all.push_back({source, image, one, i + 1});
            }
        }
    }
    return all;
}

CatalogueDocument document_of(const Wanted& wanted, const char* what, Url url, std::uint64_t max_bytes) {
    CatalogueDocument document;
    document.id = Name::parse(fmt::format("{}-{}-{}", what, wanted.number, debian_word(wanted.architecture)));
    document.url = std::move(url);
    document.max_bytes = max_bytes;
    return document;
}

CatalogueDocument sums_document(const Wanted& wanted, const Url& url,
                                const std::optional<std::string>& file) {
    CatalogueDocument document = document_of(wanted, "sums", url, largest_sums);
    document.file = file;
    if (wanted.source.keyring && wanted.image.signature) {
        document.keyring = wanted.source.keyring;
        document.clearsigned = wanted.image.signature->is_clearsigned();
        if (!document.clearsigned) {
            document.signature = url.with_suffix(wanted.image.signature->to_string());
        }
    }
    return document;
}

/// One that tells of several images is got once.
void add_once(std::vector<CatalogueDocument>& documents, CatalogueDocument document) {
    const bool is_new = std::ranges::none_of(documents, [&](const CatalogueDocument& other) {
        return other.url == document.url && other.signature == document.signature &&
               other.clearsigned == document.clearsigned && other.file == document.file;
    });
    if (is_new) {
        documents.push_back(std::move(document));
    }
}

/// A file and the version that its name tells.
struct Candidate {
    std::string file;
    std::string version;
};

/// The newest of the files that are called as the image's are.
template <class Files>
std::optional<Candidate> newest(const Wanted& wanted, const Files& files) {
    std::optional<Candidate> best;
    for (const std::string& file : files) {
        const auto version = wanted.image.file.version_of(file, wanted.architecture);
        if (!version || version->size() > 64 || !is_plain_file_name(file)) {
            continue;
        }
        if (!best || version->empty() || ImageVersion::parse(best->version) < ImageVersion::parse(*version)) {
            best = Candidate{file, *version};
        }
    }
    return best;
}

std::string not_there(const Wanted& wanted, const char* where) {
    return fmt::format("{} for {}: {} has no {}", wanted.image.name.to_string(),
                       to_string(wanted.architecture), where,
                       wanted.image.file.file_name(wanted.architecture));
}

CatalogueStep read_listing(const std::vector<Wanted>& all, const CatalogueText& text) {
    const std::set<std::string> files = parse_listing(text.text);
    CatalogueStep step;
    for (const Wanted& wanted : all) {
        if (!wanted.needs_listing() || wanted.listing() != text.document.url) {
            continue;
        }
        const auto found = newest(wanted, files);
        if (found) {
            add_once(step.documents, sums_document(wanted, wanted.sums(found->file), found->file));
        } else {
            note(step, wanted.source.name, not_there(wanted, "the folder"));
        }
    }
    return step;
}

/// Whether somebody who wants the document as `own` may read it: verified as he wants.
bool is_as_verified(const CatalogueDocument& document, const CatalogueDocument& own) {
    return document.keyring == own.keyring && document.signature == own.signature &&
           document.clearsigned == own.clearsigned;
}

/// Whether the checksums are those of this image.
bool is_about(const Wanted& wanted, const CatalogueDocument& document) {
    if (!is_as_verified(document, sums_document(wanted, document.url, document.file))) {
        return false;
    }
    if (document.file) {
        return wanted.image.file.version_of(*document.file, wanted.architecture) &&
               is_plain_file_name(*document.file) && wanted.sums(*document.file) == document.url;
    }
    return !wanted.needs_listing() && wanted.sums() == document.url;
}

/// The file that the checksums are looked through for; a checksum without a name is of the one that is known.
std::optional<Candidate> find_file(const Wanted& wanted, const CatalogueDocument& document,
                                   const std::map<std::string, FileSum>& sums) {
    std::vector<std::string> files;
    std::ranges::transform(sums, std::back_inserter(files), [](const auto& sum) { return sum.first; });
    if (document.file) {
        std::erase_if(files, [&](const std::string& file) { return file != document.file; });
    }
    auto found = newest(wanted, files);
    if (found || !sums.contains("")) {
        return found;
    }
    if (document.file) {
        return newest(wanted, std::vector{*document.file});
    }
    return wanted.image.file.has_version()
               ? std::nullopt
               : std::optional<Candidate>({wanted.image.file.file_name(wanted.architecture), ""});
}

CatalogueEntry entry_of(const Wanted& wanted, const CatalogueText& text, const Candidate& found,
                        const FileSum& sum) {
    CatalogueEntry entry;
    entry.name = wanted.image.name;
    entry.aliases = wanted.image.aliases;
    entry.title = one_line(wanted.image.title);
    entry.version =
        found.version.empty() ? ImageVersion::of_day(*text.modified) : ImageVersion::parse(found.version);
    entry.architecture = wanted.architecture;
    entry.url = text.document.url.resolve(found.file);
    entry.size = sum.size;
    entry.checksum = sum.checksum;
    if (wanted.source.keyring && wanted.image.image_signature) {
        entry.signature = entry.url.with_suffix(wanted.image.image_signature->to_string());
    }
    entry.verification =
        text.document.is_signed() || entry.signature ? Verification::signature : Verification::checksum;
    entry.source = wanted.source.name;
    return entry;
}

void add_entry(CatalogueStep& step, const Wanted& wanted, const CatalogueText& text,
               const std::map<std::string, FileSum>& sums) {
    const auto found = find_file(wanted, text.document, sums);
    if (!found) {
        note(step, wanted.source.name, not_there(wanted, "the list of checksums"));
        return;
    }
    const auto named = sums.find(found->file);
    const FileSum& sum = named == sums.end() ? sums.at("") : named->second;
    if (!sum.checksum) {
        note(step, wanted.source.name,
             fmt::format("{}: there are two checksums for it, which differ", found->file));
    } else if (sum.size && *sum.size > largest_image) {
        note(step, wanted.source.name,
             fmt::format("{}: it would have {}", found->file, human_size(*sum.size)));
    } else if (found->version.empty() && !text.modified) {
        note(step, wanted.source.name,
             fmt::format("{}: neither its name nor its server tells its version", found->file));
    } else {
        step.entries.push_back(entry_of(wanted, text, *found, sum));
    }
}

CatalogueStep read_sums(const std::vector<Wanted>& all, const CatalogueText& text) {
    const std::map<std::string, FileSum> sums = parse_sums(text.text);
    CatalogueStep step;
    for (const Wanted& wanted : all) {
        if (is_about(wanted, text.document)) {
            add_entry(step, wanted, text, sums);
        }
    }
    return step;
}

} // namespace

std::vector<CatalogueDocument> folder_documents(const ImageSource& source,
                                                const std::vector<Architecture>& architectures) {
    std::vector<CatalogueDocument> documents;
    for (const Wanted& wanted : wanted_of(source, architectures)) {
        add_once(documents, wanted.needs_listing()
                                ? document_of(wanted, "listing", wanted.listing(), largest_listing)
                                : sums_document(wanted, wanted.sums(), std::nullopt));
    }
    return documents;
}

CatalogueStep read_folder(const ImageSource& source, const std::vector<Architecture>& architectures,
                          const CatalogueText& text) {
    const std::vector<Wanted> all = wanted_of(source, architectures);
    return text.document.url.file_name().empty() ? read_listing(all, text) : read_sums(all, text);
}

} // namespace capsul
