#include "lib/catalogue_search.hpp"

#include "lib/error.hpp"
#include "lib/nearest.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <set>
#include <tuple>

namespace capsul {
namespace {

constexpr std::size_t most_suggestions = 3;

bool contains(std::string_view text, std::string_view lower_word) {
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; };
    return !std::ranges::search(text, lower_word, same).empty() || lower_word.empty();
}

bool has_word(const CatalogueEntry& entry, std::string_view word) {
    return contains(entry.name.to_string(), word) || contains(entry.title, word) ||
           contains(entry.source.to_string(), word) ||
           std::ranges::any_of(entry.aliases,
                               [&](const Name& alias) { return contains(alias.to_string(), word); });
}

/// As a person wrote it, and as the name that it would be.
std::set<std::string> forms_of(std::string_view word) {
    std::string lower(word);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c); });
    std::set<std::string> forms{lower};
    try {
        forms.insert(catalogue_name(word).to_string());
    } catch (const Error&) { // NOLINT(bugprone-empty-catch): it is then looked for as it is
    }
    return forms;
}

bool is_called(const CatalogueEntry& entry, const Name& name) {
    return entry.name == name || std::ranges::find(entry.aliases, name) != entry.aliases.end();
}

/// All of that name; of one source only, unless `source` is empty.
std::vector<const CatalogueEntry*> called(const Catalogue& catalogue, std::string_view source,
                                          const Name& name) {
    std::vector<const CatalogueEntry*> found;
    for (const CatalogueEntry& entry : catalogue.entries) {
        if (is_called(entry, name) && (source.empty() || entry.source.to_string() == source)) {
            found.push_back(&entry);
        }
    }
    return found;
}

/// Those of "SOURCE/NAME"; where there is no such source or image, the slash is a part of the name.
std::vector<const CatalogueEntry*> named(const Catalogue& catalogue, std::string_view word) {
    const std::size_t slash = word.find('/');
    if (slash != std::string_view::npos && slash > 0 && slash + 1 < word.size()) {
        auto found = called(catalogue, word.substr(0, slash), catalogue_name(word.substr(slash + 1)));
        if (!found.empty()) {
            return found;
        }
    }
    return called(catalogue, {}, catalogue_name(word));
}

/// Those that have the word in them, else the one that is nearest to it.
std::vector<std::string> suggestions(const Catalogue& catalogue, const Name& name) {
    std::set<std::string> near;
    std::vector<std::string> all;
    for (const CatalogueEntry& entry : catalogue.entries) {
        all.push_back(entry.name.to_string());
        if (contains(entry.name.to_string(), name.to_string())) {
            near.insert(entry.name.to_string());
        }
    }
    if (near.empty()) {
        near.insert(nearest(name.to_string(), all));
        near.erase("");
    }
    std::vector<std::string> list(near.begin(), near.end());
    list.resize(std::min(list.size(), most_suggestions));
    return list;
}

[[noreturn]] void fail_unknown(const Catalogue& catalogue, const Name& name) {
    const std::vector<std::string> near = suggestions(catalogue, name);
    throw Error(ErrorCode::not_found, fmt::format("the catalogue has no image '{}'", name.to_string()),
                near.empty() ? "`capsulctl image search` lists what there is"
                             : fmt::format("did you mean {}?", fmt::join(near, ", ")));
}

[[noreturn]] void fail_architecture(const Name& name, const std::vector<const CatalogueEntry*>& found,
                                    Architecture architecture) {
    std::set<std::string_view> there;
    for (const CatalogueEntry* entry : found) {
        there.insert(to_string(entry->architecture));
    }
    throw Error(ErrorCode::not_found,
                fmt::format("there is no image '{}' for {}", name.to_string(), to_string(architecture)),
                fmt::format("there is one for {}", fmt::join(there, ", ")));
}

[[noreturn]] void fail_ambiguous(const Name& name, const std::vector<const CatalogueEntry*>& found) {
    std::vector<std::string> words;
    for (const CatalogueEntry* entry : found) {
        words.push_back(entry->source.to_string() + "/" + entry->name.to_string());
    }
    throw Error(ErrorCode::invalid, fmt::format("more than one source has an image '{}'", name.to_string()),
                fmt::format("say which: {}", fmt::join(words, ", ")));
}

} // namespace

bool is_silence(const SourceProblem& problem) {
    return !problem.code.empty() && problem.code != to_string(ErrorCode::not_found);
}

std::vector<CatalogueEntry> search(const Catalogue& catalogue, std::string_view word) {
    const std::set<std::string> forms = forms_of(word);
    std::vector<CatalogueEntry> found;
    std::ranges::copy_if(catalogue.entries, std::back_inserter(found), [&](const CatalogueEntry& entry) {
        return std::ranges::any_of(forms, [&](const std::string& form) { return has_word(entry, form); });
    });
    const auto order = [](const CatalogueEntry& entry) {
        return std::tuple(entry.name, entry.architecture, entry.source);
    };
    std::ranges::sort(found, {}, order);
    return found;
}

const CatalogueEntry& find_entry(const Catalogue& catalogue, std::string_view word,
                                 Architecture architecture) {
    const Name name = catalogue_name(word);
    const std::vector<const CatalogueEntry*> found = named(catalogue, word);
    if (found.empty()) {
        fail_unknown(catalogue, name);
    }
    std::vector<const CatalogueEntry*> fitting;
    std::ranges::copy_if(found, std::back_inserter(fitting),
                         [&](const CatalogueEntry* entry) { return entry->architecture == architecture; });
    if (fitting.empty()) {
        fail_architecture(name, found, architecture);
    }
    if (fitting.size() > 1) {
        fail_ambiguous(name, fitting);
    }
    return *fitting.front();
}

const CatalogueEntry* find_successor(const Catalogue& catalogue, const ImageOrigin& origin,
                                     Architecture architecture) {
    const auto found = std::ranges::find_if(catalogue.entries, [&](const CatalogueEntry& entry) {
        return origin.source == entry.source && origin.entry == entry.name &&
               entry.architecture == architecture;
    });
    return found == catalogue.entries.end() ? nullptr : &*found;
}

std::optional<ImageVersion> newer_version(const Catalogue& catalogue, const ImageOrigin& origin,
                                          Architecture architecture) {
    const CatalogueEntry* const entry = find_successor(catalogue, origin, architecture);
    if (entry == nullptr || entry->version <= origin.version) {
        return std::nullopt;
    }
    return entry->version;
}

} // namespace capsul
