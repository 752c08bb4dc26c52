// What must be true of all that is read of a source, whatever its documents are.
#pragma once

#include "daemon/catalogue/reader.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

namespace capsul {

inline void must(bool holds) {
    if (!holds) {
        std::abort();
    }
}

inline bool is_one_plain_line(std::string_view text) {
    return std::ranges::none_of(text, [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

/// Everything is below the source, but for an index, which may lead elsewhere by https; and it is bounded.
inline void check_step(const ImageSource& source, const CatalogueStep& step) {
    const auto is_fine = [&](const Url& url) {
        return url.to_string().starts_with(source.url.folder().to_string()) ||
               (source.kind == SourceKind::index && url.scheme() == "https");
    };
    for (const CatalogueDocument& document : step.documents) {
        must(is_fine(document.url) && (!source.keyring || document.is_signed() || !document.clearsigned));
    }
    for (const CatalogueEntry& entry : step.entries) {
        must(is_fine(entry.url) && (!entry.signature || is_fine(*entry.signature)));
        must(Url::parse(entry.url.to_string()) == entry.url && !entry.url.file_name().empty());
        must(is_one_plain_line(entry.title) && entry.size.value_or(1) > 0);
        must(entry.verification == Verification::none || entry.checksum || entry.signature);
        static_cast<void>(dated_name(entry));
    }
    must(step.entries.size() <= most_entries && step.problems.size() <= most_problems + 1);
    must(std::ranges::all_of(
        step.problems, [](const SourceProblem& problem) { return is_one_plain_line(problem.message); }));
}

inline ImageSource fuzzed_source(SourceKind kind, const char* url) {
    ImageSource source;
    source.name = Name::parse("own");
    source.kind = kind;
    source.url = Url::parse(url);
    source.keyring = KeyringPath::parse("/keys.gpg");
    return source;
}

/// Reads a text as each of these documents.
inline void check_documents(const ImageSource& source, const std::vector<CatalogueDocument>& documents,
                            std::string_view text) {
    const std::vector<Architecture> all{Architecture::x86_64, Architecture::aarch64};
    for (const CatalogueDocument& document : documents) {
        check_step(source, read_document(source, all, {document, std::string(text), Timestamp()}));
    }
}

} // namespace capsul
