// The catalogue as this host knows it: fetched when it is asked for, kept for when there is no network.
#pragma once

#include "daemon/catalogue/source.hpp"
#include "daemon/fetcher.hpp"
#include "lib/catalogue.hpp"
#include "lib/config.hpp"

#include <chrono>

namespace capsul {

/// An entry, and whether the sources were asked for it just now.
struct FoundEntry {
    CatalogueEntry entry;
    bool is_new = false;
};

/// Thread-safe.
class ImageCatalogue {
  public:
    static constexpr std::chrono::hours fresh{1};

    ImageCatalogue(const Paths& paths, const ImageConfig& config, const Fetcher& fetcher)
        : paths_(paths), config_(config), fetcher_(fetcher) {}

    /// What the sources offer for this host. Fetched now unless what is known of the same sources is younger
    /// than `age`. Of a source that does not answer what it offered last is in it, with a problem. Throws
    /// Error when nothing is known, and none answers.
    [[nodiscard]] Catalogue get(std::chrono::seconds age, Progress& progress) const;
    /// The entry that `word` names, as find_entry() takes it. Where it is not in what is known, and a source
    /// was silent, all are asked again, once. Throws Error: not_found, or where a source is silent still,
    /// why.
    [[nodiscard]] FoundEntry find(const std::string& word, Progress& progress) const;
    /// The keyring of a source's signatures, if it has one that is there.
    [[nodiscard]] std::optional<KeyringPath> keyring(const Name& source) const;

  private:
    struct Asked;
    [[nodiscard]] Asked ask(std::chrono::seconds age, Progress& progress) const;
    [[nodiscard]] std::vector<ImageSource> sources() const;

    const Paths& paths_;
    const ImageConfig& config_;
    const Fetcher& fetcher_;
    mutable std::mutex mutex_; ///< held while it is fetched: who comes meanwhile waits for it
};

} // namespace capsul
