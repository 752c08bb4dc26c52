#include "daemon/image_catalogue.hpp"

#include "daemon/digest.hpp"
#include "daemon/known_catalogue.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

bool is_silent(const Catalogue& catalogue, const Name& source) {
    return std::ranges::any_of(catalogue.problems, [&](const SourceProblem& problem) {
        return problem.source == source && !problem.code.empty() &&
               problem.code != to_string(ErrorCode::not_found);
    });
}

bool has(const Catalogue& catalogue, const CatalogueEntry& wanted) {
    return std::ranges::any_of(catalogue.entries, [&](const CatalogueEntry& entry) {
        return entry.source == wanted.source && entry.name == wanted.name &&
               entry.architecture == wanted.architecture;
    });
}

/// Of sources that could not be asked for all this time, what they offered last.
void keep_silent_sources(Catalogue& now, const Catalogue& before) {
    for (const CatalogueEntry& entry : before.entries) {
        if (is_silent(now, entry.source) && !has(now, entry)) {
            now.entries.push_back(entry);
        }
    }
}

/// Names those that are asked, and how: with or without a keyring, say.
std::string digest_of(const CatalogueRequest& request) {
    return sha256_hex(dump_json(encode(request)));
}

/// A clock that was wrong once may have written a time to come.
bool is_fresh(const Catalogue& catalogue, std::chrono::seconds age) {
    if (!catalogue.fetched) {
        return false;
    }
    const auto old = Timestamp::now().value() - catalogue.fetched->value();
    return old >= std::chrono::seconds(0) && old < age;
}

[[noreturn]] void throw_nothing_known(const Catalogue& catalogue) {
    if (catalogue.problems.empty()) {
        throw Error(ErrorCode::not_found, "no source of images is enabled",
                    "see [[image.source]] in capsuld.toml(5)");
    }
    const SourceProblem& first = catalogue.problems.front();
    throw Error(
        first.code.empty() ? ErrorCode::verification : error_code_from(first.code),
        fmt::format("no source has told of an image; {}: {}", first.source.to_string(), first.message),
        first.hint.value_or(""));
}

} // namespace

std::vector<ImageSource> ImageCatalogue::sources() const {
    return image_sources(config_, [](const std::string& path) {
        std::error_code unreadable;
        return fs::is_regular_file(path, unreadable);
    });
}

Catalogue ImageCatalogue::get(std::chrono::seconds age, Progress& progress) const {
    const std::lock_guard lock(mutex_);
    CatalogueRequest request{sources(), {host_architecture()}, {}, {}};
    request.patience.tries = 2; // somebody waits, and what was known last is there
    KnownCatalogue known = known_catalogue(paths_);
    if (const std::string asked = digest_of(request); known.sources != asked) {
        known = {asked, {}};
    }
    if (is_fresh(known.catalogue, age)) {
        return known.catalogue;
    }
    progress.message("asking the sources of images");
    Catalogue now = fetcher_.catalogue(request, progress);
    if (now.entries.empty() && known.catalogue.entries.empty()) {
        throw_nothing_known(now);
    }
    if (now.entries.empty()) {
        now.fetched = known.catalogue.fetched; // so that the next time they are asked again
    }
    keep_silent_sources(now, known.catalogue);
    known.catalogue = now;
    keep_catalogue(paths_, known);
    return now;
}

std::optional<KeyringPath> ImageCatalogue::keyring(const Name& source) const {
    const auto all = sources();
    const auto found = std::ranges::find(all, source, &ImageSource::name);
    return found == all.end() ? std::nullopt : found->keyring;
}

} // namespace capsul
