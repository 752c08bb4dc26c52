// Images from elsewhere: what can be had, and the calls that fetch it.
#pragma once

#include "lib/catalogue.hpp"
#include "lib/image.hpp"
#include "lib/route.hpp"

#include <optional>
#include <string>
#include <vector>

namespace capsul {

/// What the sources offer for this host's architecture: all that have `word` in their name, title or source.
/// What was fetched within the hour is not fetched again, unless `refresh`; what cannot be fetched is
/// answered from what was known last, with a problem.
struct ImageSearch {
    std::string word;
    bool refresh = false;
    using Result = Catalogue;
    static constexpr Route route{Method::post, "/v1/catalogue/search", Answer::operation};
    static constexpr auto fields() {
        return field_list(optional("word", &ImageSearch::word), optional("refresh", &ImageSearch::refresh));
    }
};

/// Downloads an image: `image` is a name of the catalogue ("debian-12", "debian/debian-12") or a URL. From
/// the catalogue it becomes NAME-VERSION, and an alias, `as` or the catalogue's name, points at it. From a
/// URL it becomes `as`, or what its file is called. Done again, it goes on where it was cut off, or does
/// nothing.
struct ImagePull {
    std::string image;
    std::optional<Name> as;
    std::optional<Checksum> checksum; ///< of the file as it is served; of a URL only
    std::optional<Verification>
        verification;        ///< refused when less can be had; default: what the source offers
    bool unverified = false; ///< from a URL without a checksum, which is refused otherwise
    using Result = Image;
    static constexpr Route route{Method::post, "/v1/images/pull", Answer::operation};
    static constexpr auto fields() {
        return field_list(required("image", &ImagePull::image), optional("as", &ImagePull::as),
                          optional("checksum", &ImagePull::checksum),
                          optional("verification", &ImagePull::verification),
                          optional("unverified", &ImagePull::unverified));
    }
};

/// What became of an alias.
struct ImageUpdated {
    Name alias;
    Name before; ///< the image that it pointed at
    Image image; ///< that it points at now

    static constexpr auto fields() {
        return field_list(required("alias", &ImageUpdated::alias), required("before", &ImageUpdated::before),
                          required("image", &ImageUpdated::image));
    }
};

/// Asks the source of an alias's image for a newer one, and if there is one, pulls it beside the old one and
/// moves the alias. VMs stay on what they were made from.
struct ImageUpdate {
    Name name;
    using Result = ImageUpdated;
    static constexpr Route route{Method::post, "/v1/aliases/{name}/update", Answer::operation};
    static constexpr auto fields() { return field_list(required("name", &ImageUpdate::name)); }
};

} // namespace capsul
