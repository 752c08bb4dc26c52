#include "daemon/image_catalogue.hpp"

#include "daemon/digest.hpp"
#include "daemon/known_catalogue.hpp"
#include "lib/catalogue_search.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

bool is_silent(const Catalogue& catalogue, const Name& source) {
    return std::ranges::any_of(catalogue.problems, [&](const SourceProblem& problem) {
        return problem.source == source && is_silence(problem);
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

/// What has kept a source from answering; what is merely noted, as that a keyring is missing, only where
/// there is nothing else.
const SourceProblem& worst(const std::vector<SourceProblem>& problems) {
    const auto found =
        std::ranges::find_if(problems, [](const SourceProblem& problem) { return !problem.code.empty(); });
    return found == problems.end() ? problems.front() : *found;
}

[[noreturn]] void throw_nothing_known(const Catalogue& catalogue) {
    if (catalogue.problems.empty()) {
        throw Error(ErrorCode::not_found, "no source of images is enabled",
                    "see [[image.source]] in capsuld.toml(5)");
    }
    const SourceProblem& problem = worst(catalogue.problems);
    throw Error(
        problem.code.empty() ? ErrorCode::verification : error_code_from(problem.code),
        fmt::format("no source has told of an image; {}: {}", problem.source.to_string(), problem.message),
        problem.hint.value_or(""));
}

bool is_missing(const Catalogue& catalogue, const std::string& word) {
    try {
        static_cast<void>(find_entry(catalogue, word, host_architecture()));
        return false;
    } catch (const Error& error) {
        return error.code() == ErrorCode::not_found;
    }
}

/// Whether a source that was silent may have it.
bool is_hidden(const Catalogue& catalogue, const std::string& word) {
    return std::ranges::any_of(catalogue.problems, is_silence) && is_missing(catalogue, word);
}

/// The same entry, or, where it is not there, which source has kept silent.
const CatalogueEntry& find_or_explain(const Catalogue& catalogue, const std::string& word) {
    try {
        return find_entry(catalogue, word, host_architecture());
    } catch (const Error& error) {
        const auto silence = std::ranges::find_if(catalogue.problems, is_silence);
        if (error.code() != ErrorCode::not_found || silence == catalogue.problems.end()) {
            throw;
        }
        throw Error(error_code_from(silence->code),
                    fmt::format("{}; source {} did not answer: {}", error.what(), silence->source.to_string(),
                                silence->message),
                    silence->hint.value_or(""));
    }
}

} // namespace

/// What is known, and whether the sources were asked for it just now.
struct ImageCatalogue::Asked {
    Catalogue catalogue;
    bool is_new = false;
};

std::vector<ImageSource> ImageCatalogue::sources() const {
    return image_sources(config_, [](const std::string& path) {
        std::error_code unreadable;
        return fs::is_regular_file(path, unreadable);
    });
}

Catalogue ImageCatalogue::get(std::chrono::seconds age, Progress& progress) const {
    return ask(age, progress).catalogue;
}

FoundEntry ImageCatalogue::find(const std::string& word, Progress& progress) const {
    Asked asked = ask(fresh, progress);
    if (!asked.is_new && is_hidden(asked.catalogue, word)) {
        asked = ask(std::chrono::seconds(0), progress);
    }
    return {find_or_explain(asked.catalogue, word), asked.is_new};
}

ImageCatalogue::Asked ImageCatalogue::ask(std::chrono::seconds age, Progress& progress) const {
    const std::lock_guard lock(mutex_);
    CatalogueRequest request{sources(), {host_architecture()}, {}, {}};
    request.patience.tries = 2; // somebody waits, and what was known last is there
    KnownCatalogue known = known_catalogue(paths_);
    if (const std::string asked = digest_of(request); known.sources != asked) {
        known = {asked, {}};
    }
    if (is_fresh(known.catalogue, age)) {
        return {std::move(known.catalogue), false};
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
    return {std::move(now), true};
}

std::optional<KeyringPath> ImageCatalogue::keyring(const Name& source) const {
    const auto all = sources();
    const auto found = std::ranges::find(all, source, &ImageSource::name);
    return found == all.end() ? std::nullopt : found->keyring;
}

} // namespace capsul
