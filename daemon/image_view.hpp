// Images as they are shown, and what all of them take on the disk.
#pragma once

#include "daemon/image_use.hpp"
#include "lib/paths.hpp"

#include <vector>

namespace capsul {

class ImageView {
  public:
    ImageView(const Paths& paths, Store& store) : paths_(paths), store_(store) {}

    /// All, and the aliases that lead to none of them.
    [[nodiscard]] std::vector<Image> list() const;
    /// The image that a name means, or the alias that leads nowhere. Throws Error (not_found).
    [[nodiscard]] Image show(const Name& name) const;
    [[nodiscard]] Image show(const Stored<ImageRecord>& stored, const ImageUse& use) const;
    /// An alias by itself: as it was, or with why it leads nowhere.
    [[nodiscard]] Image show(const Stored<AliasRecord>& alias) const;
    [[nodiscard]] DiskUsage usage() const;

  private:
    /// Since when no VM is made from it.
    [[nodiscard]] Timestamp unused_since(const ImageRecord& record) const;

    const Paths& paths_;
    Store& store_;
};

} // namespace capsul
