// Images from elsewhere: searched in the catalogue, downloaded, made.
#pragma once

#include "daemon/fetcher.hpp"
#include "daemon/image_catalogue.hpp"
#include "daemon/image_service.hpp"
#include "daemon/operation_service.hpp"
#include "daemon/store.hpp"
#include "daemon/turns.hpp"
#include "lib/image_pull.hpp"

namespace capsul {

/// Thread-safe.
class ImagePullService {
  public:
    ImagePullService(const ImageConfig& config, Store& store, OperationService& operations,
                     ImageService& images, const ImageCatalogue& catalogue, const Fetcher& fetcher)
        : config_(config), store_(store), operations_(operations), images_(images), catalogue_(catalogue),
          fetcher_(fetcher) {}

    Operation search(const ImageSearch& call);
    Operation pull(const ImagePull& call);
    Operation update(const ImageUpdate& call);

  private:
    Image run_pull(const ImagePull& call, Progress& progress);
    /// What the sources have now in the place of an entry that was right once; nothing when that is the same,
    /// or cannot be told.
    [[nodiscard]] std::optional<CatalogueEntry>
    replacement(const CatalogueEntry& before, const std::string& word, Progress& progress) const;
    Image pull_entry(const CatalogueEntry& entry, const Name& alias, std::optional<Verification> wanted,
                     Progress& progress);
    Image pull_url(const ImagePull& call, Progress& progress);
    ImageUpdated run_update(const Name& alias, Progress& progress);
    Image make(const Name& fetch, const FetchedFile& file, const Name& name, ImageOrigin origin,
               std::optional<Name> alias, Progress& progress);
    [[nodiscard]] DiskRequest request_for(const CatalogueEntry& entry) const;
    /// Whether the image of the entry is there already, whole and known that well.
    [[nodiscard]] bool has(const Name& name, const CatalogueEntry& entry, Verification least);
    [[nodiscard]] bool has(const Name& name, const std::optional<Checksum>& checksum);

    const ImageConfig& config_;
    Store& store_;
    OperationService& operations_;
    ImageService& images_;
    const ImageCatalogue& catalogue_;
    const Fetcher& fetcher_;
    Turns turns_; ///< of downloads: two of the same file are one
};

} // namespace capsul
