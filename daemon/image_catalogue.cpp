#include "daemon/image_catalogue.hpp"

#include "daemon/known_catalogue.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <ranges>

namespace capsul {
namespace {

bool is_about(const SourceProblem& problem, const Name& source) {
    return problem.source == source;
}

bool has_entries_of(const Catalogue& catalogue, const Name& source) {
    return std::ranges::any_of(catalogue.entries, [&](const auto& entry) { return entry.source == source; });
}

/// Of sources that did not answer this time, what they offered last.
void keep_silent_sources(Catalogue& now, const Catalogue& before, const std::vector<ImageSource>& sources) {
    for (const ImageSource& source : sources) {
        const bool failed = std::ranges::any_of(
            now.problems, [&](const auto& problem) { return is_about(problem, source.name); });
        if (!failed || has_entries_of(now, source.name)) {
            continue;
        }
        std::ranges::copy_if(before.entries, std::back_inserter(now.entries),
                             [&](const auto& entry) { return entry.source == source.name; });
    }
}

[[noreturn]] void throw_nothing_known(const Catalogue& catalogue) {
    if (catalogue.problems.empty()) {
        throw Error(ErrorCode::not_found, "no source of images is enabled",
                    "see [[image.source]] in capsuld.toml(5)");
    }
    const SourceProblem& first = catalogue.problems.front();
    throw Error(ErrorCode::unreachable,
                fmt::format("no source of images answers; {}: {}", first.source.to_string(), first.message),
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
    Catalogue before = known_catalogue(paths_);
    if (before.fetched && Timestamp::now().value() - before.fetched->value() < age) {
        return before;
    }
    progress.message("asking the sources of images");
    const auto from = sources();
    CatalogueRequest request{from, {host_architecture()}, {}, {}};
    request.patience.tries = 2; // somebody waits, and what was known last is there
    Catalogue now = fetcher_.catalogue(request, progress);
    if (now.entries.empty() && before.entries.empty()) {
        throw_nothing_known(now);
    }
    if (now.entries.empty()) {
        now.fetched = before.fetched; // so that the next time they are asked again
    }
    keep_silent_sources(now, before, from);
    keep_catalogue(paths_, now);
    return now;
}

std::optional<KeyringPath> ImageCatalogue::keyring(const Name& name) const {
    const auto all = sources();
    const auto found = std::ranges::find(all, name, &ImageSource::name);
    return found == all.end() ? std::nullopt : found->keyring;
}

} // namespace capsul
