// The catalogue: images that can be had, as their publishers tell of them.
#pragma once

#include "lib/image_origin.hpp"
#include "lib/name.hpp"
#include "lib/size.hpp"
#include "lib/url.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace capsul {

/// Which machines an image is for, by the words of uname(1).
enum class Architecture { x86_64, aarch64, riscv64, ppc64le, s390x };
template <>
struct EnumWords<Architecture> {
    static constexpr std::array<std::pair<Architecture, std::string_view>, 5> words{
        {{Architecture::x86_64, "x86_64"},
         {Architecture::aarch64, "aarch64"},
         {Architecture::riscv64, "riscv64"},
         {Architecture::ppc64le, "ppc64le"},
         {Architecture::s390x, "s390x"}}};
};

/// The word that Debian and Ubuntu have for it, such as "amd64".
[[nodiscard]] std::string_view debian_word(Architecture architecture);
/// From either word; nothing for one that capsul has no use for.
[[nodiscard]] std::optional<Architecture> find_architecture(std::string_view word);
/// Of the machine that this program was built for.
[[nodiscard]] Architecture host_architecture();

/// A digest of a file as its publisher tells it: "sha256:" or "sha512:" and its digits in lower case.
class Checksum {
  public:
    enum class Algorithm { sha256, sha512 };

    Checksum() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static Checksum parse(std::string_view text);
    /// From 64 or 128 hexadecimal digits, which are of SHA-256 or SHA-512. Throws Error (invalid).
    [[nodiscard]] static Checksum of_hex(std::string_view digits);
    [[nodiscard]] std::string to_string() const;
    [[nodiscard]] Algorithm algorithm() const noexcept { return algorithm_; }
    [[nodiscard]] const std::string& hex() const noexcept { return hex_; }
    auto operator<=>(const Checksum&) const = default;

  private:
    Checksum(Algorithm algorithm, std::string hex) : algorithm_(algorithm), hex_(std::move(hex)) {}
    Algorithm algorithm_ = Algorithm::sha256;
    std::string hex_;
};

/// One image: the newest publication under its name, for one architecture.
struct CatalogueEntry {
    Name name; ///< what a person asks for, as "debian-12"
    std::vector<Name> aliases;
    std::string title;
    ImageVersion version;
    Architecture architecture = Architecture::x86_64;
    Url url;
    std::optional<std::uint64_t> size; ///< of the file, in bytes
    std::optional<Checksum> checksum;
    std::optional<Url> signature; ///< of the file itself, detached; its source has the keyring
    Verification verification = Verification::none; ///< the best that can be had for it here
    Name source;

    static constexpr auto fields() {
        return field_list(
            required("name", &CatalogueEntry::name), optional("aliases", &CatalogueEntry::aliases),
            optional("title", &CatalogueEntry::title), required("version", &CatalogueEntry::version),
            required("architecture", &CatalogueEntry::architecture), required("url", &CatalogueEntry::url),
            optional("size", &CatalogueEntry::size), optional("checksum", &CatalogueEntry::checksum),
            optional("signature", &CatalogueEntry::signature),
            required("verification", &CatalogueEntry::verification),
            required("source", &CatalogueEntry::source));
    }
};

/// What is wrong with a source, or with something in it that was passed over.
struct SourceProblem {
    Name source;
    std::string message;
    std::optional<std::string> hint = {};
    /// Of the error that kept something of it from being got, what it offered of which last still stands;
    /// empty for what is wrong with what was got.
    std::string code = {};

    static constexpr auto fields() {
        return field_list(required("source", &SourceProblem::source),
                          required("message", &SourceProblem::message),
                          optional("hint", &SourceProblem::hint), optional("code", &SourceProblem::code));
    }
};

struct Catalogue {
    std::vector<CatalogueEntry> entries;
    std::vector<SourceProblem> problems;
    std::optional<Timestamp> fetched; ///< none: never

    static constexpr auto fields() {
        return field_list(required("entries", &Catalogue::entries),
                          required("problems", &Catalogue::problems),
                          optional("fetched", &Catalogue::fetched));
    }
};

/// A name of what publishers and people call an image: "Ubuntu 24.04" and "ubuntu/24.04" are "ubuntu-24-04".
/// Throws Error (invalid) when no name can be made of it.
[[nodiscard]] Name catalogue_name(std::string_view words);

/// The name of the image that is made of an entry: "debian-12-20261122".
[[nodiscard]] Name dated_name(const CatalogueEntry& entry);

} // namespace capsul
