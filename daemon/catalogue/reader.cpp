#include "daemon/catalogue/reader.hpp"

#include "daemon/catalogue/folder.hpp"
#include "daemon/catalogue/image_index.hpp"
#include "daemon/catalogue/simplestreams.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <tuple>

namespace capsul {
namespace {

CatalogueStep read(const ImageSource& source, const std::vector<Architecture>& architectures,
                   const CatalogueText& text) {
    switch (source.kind) {
    case SourceKind::simplestreams:
        return read_simplestreams(source, architectures, text);
    case SourceKind::folder:
        return read_folder(source, architectures, text);
    case SourceKind::index:
        return read_image_index(source, architectures, text);
    }
    return {};
}

} // namespace

std::vector<CatalogueDocument> documents_of(const ImageSource& source,
                                            const std::vector<Architecture>& architectures) {
    if (!source.usable) {
        return {};
    }
    switch (source.kind) {
    case SourceKind::simplestreams:
        return simplestreams_documents(source);
    case SourceKind::folder:
        return folder_documents(source, architectures);
    case SourceKind::index:
        return index_documents(source);
    }
    return {};
}

CatalogueStep read_document(const ImageSource& source, const std::vector<Architecture>& architectures,
                            const CatalogueText& text) {
    try {
        return read(source, architectures, text);
    } catch (const Error& error) {
        CatalogueStep step;
        note(step, source.name, fmt::format("{}: {}", text.document.url.to_string(), error.what()),
             error.hint());
        return step;
    }
}

void add_step(Catalogue& catalogue, CatalogueStep step) {
    std::ranges::move(step.problems, std::back_inserter(catalogue.problems));
    std::vector<CatalogueEntry>& entries = catalogue.entries;
    std::ranges::move(step.entries, std::back_inserter(entries));
    const auto what = [](const CatalogueEntry& entry) {
        return std::tie(entry.source, entry.name, entry.architecture);
    };
    std::ranges::stable_sort(entries, [&](const CatalogueEntry& a, const CatalogueEntry& b) {
        return what(a) != what(b) ? what(a) < what(b) : b.version < a.version;
    });
    const auto older = std::ranges::unique(entries, {}, what);
    entries.erase(older.begin(), older.end());
}

Catalogue empty_catalogue(const std::vector<ImageSource>& sources) {
    Catalogue catalogue;
    for (const ImageSource& source : sources) {
        if (source.problem) {
            catalogue.problems.push_back(*source.problem);
        }
    }
    return catalogue;
}

} // namespace capsul
